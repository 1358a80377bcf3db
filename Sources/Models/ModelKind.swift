import Foundation
import LoRAFiles
import LoRAFormats

/// What a Hugging Face folder holds.
public enum ModelKind: Sendable {
  /// BERT: texts to vectors and classes.
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
