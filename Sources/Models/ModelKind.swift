import Foundation
import LoRAFiles
import LoRAFormats

/// What a Hugging Face folder holds.
public enum ModelKind: Sendable {
  /// BERT and its kin: texts to vectors and classes.
  case encoder
  /// Llama, GPT-2 and their kin: the next token.
  case decoder
}

/// - Throws: `CheckpointError` where there is no config.json or the kind is not supported.
public func modelKind(of folder: URL) throws -> ModelKind {
  let checkpoint = try Checkpoint(folder)
  let configuration = try ModelConfiguration(checkpoint)
  return try TransformerFamily.of(configuration).kind
}

/// Whether a model, with its adapter, gives classes: an encoder, or a decoder of which config.json or the adapter's
/// configuration says so.
///
/// - Throws: `CheckpointError` where one of them can't be read or the kind is not supported.
public func isClassifier(_ folder: URL, adapter: URL? = nil) throws -> Bool {
  if try modelKind(of: folder) == .encoder { return true }
  if let task = try adapter.map({ try StoredAdapter(peft: $0) })?.configuration.taskType { return task == "SEQ_CLS" }
  return try Checkpoint(folder).configuration?["architectures"]?.strings?.first?.hasSuffix("ForSequenceClassification")
    ?? false
}
