import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// Writes a model whose own parameters were trained as a Hugging Face folder: its tensors in float32, the base's
/// config.json and tokenizer.
///
/// - Parameters:
///   - model: the model in memory.
///   - base: the folder that it was read from.
///   - labels: the classes of a classifier, which config.json then names.
///   - directory: the folder that will be written.
public func writeModel(_ model: some Module, like base: URL, labels: ClassifierLabels? = nil, to directory: URL) throws
{
  let output = try OutputDirectory(directory)
  let tensors = try model.parameters.map { try StoredTensor(name: $0.name, $0.parameter.value.detached) }
  try writeModelFiles(tensors, like: base, labels: labels, to: output.staging)
  try output.commit()
}

/// The same into a folder that is being written.
func writeModelFiles(_ tensors: [StoredTensor], like base: URL, labels: ClassifierLabels?, to staging: URL) throws {
  try SafetensorsWriter.write(tensors, to: staging.appendingPathComponent("model.safetensors"))
  guard var configuration = try Checkpoint(base).configuration else {
    throw CheckpointError(
      .missing, file: base.path, "has no config.json, which says what model it is",
      advice: "Name the folder of a Hugging Face model")
  }
  for name in ["torch_dtype", "dtype"] where configuration[name] != nil { configuration[name] = "float32" }
  if let labels {
    if let name = NameTable(try Checkpoint(base)).headClassName(for: "SEQ_CLS") {
      configuration["architectures"] = [.string(name)]
    }
    for member in labels.configuration { configuration[member.key] = member.value }
    if let problem = labels.problem { configuration["problem_type"] = .string(problem.rawValue) }
    configuration["num_labels"] = nil
  }
  try OutputFile.write(configuration.pretty, to: staging.appendingPathComponent("config.json"))
  let others = try FileManager.default.contentsOfDirectory(atPath: base.path).filter(
    companions.contains)
  for name in others {
    // In a download cache the names are links.
    try FileManager.default.copyItem(
      at: LoRAFiles.file(name, in: base).resolvingSymlinksInPath(), to: staging.appendingPathComponent(name))
  }
}

/// What lies beside a model's weights and stays as it is.
private let companions = [
  "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt", "vocab.json", "merges.txt",
  "added_tokens.json", "special_tokens_map.json", "generation_config.json",
  "chat_template.jinja",
]
