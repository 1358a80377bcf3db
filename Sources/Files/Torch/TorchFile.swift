// Weights as torch.save writes them: `pytorch_model.bin`, `adapter_model.bin`, `.pt`, `.ckpt`.
//
// Since PyTorch 1.6 such a file is a zip archive: `NAME/data.pkl` is a pickle that describes the tensors, `NAME/data/KEY`
// are their numbers. Before, it was several pickles in a row and then the numbers. Nothing of a pickle is run (see
// Pickle.swift), and numbers stay in the mapped file as those of safetensors do.

import Foundation

/// A file of tensors that torch.save wrote.
public struct TorchFile: Sendable {
  /// The file.
  public let url: URL
  /// The texts that stand beside the tensors.
  public let metadata: [JSON.Member]
  /// Bytes of the whole file.
  public let byteCount: Int
  /// What a reader should know of how the file was read, in sentences.
  public let notes: [String]
  let list: TensorList

  /// What a file of PyTorch before 1.6 begins with: a pickle of the number 0x1950a86a20f9469cfc6c.
  package static let legacyMagic: [UInt8] = [
    0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
  ]

  /// - Throws: ``CheckpointError`` where the file can't be opened, is broken, or holds more than tensors.
  public init(_ url: URL) throws { try self.init(MappedFile(url), at: url) }

  init(_ file: MappedFile, at url: URL) throws {
    let content =
      file.bytes.starts(with: Self.legacyMagic)
      ? try TorchContent(legacy: file, path: url.path) : try TorchContent(zip: file, path: url.path)
    self.url = url
    byteCount = file.bytes.count
    (list, metadata, notes) = try content.tensors(path: url.path)
  }
}

/// What a file's pickle describes, and where its storages lie.
private struct TorchContent {
  let value: PickleValue
  let pickle: Pickle
  let file: MappedFile
  /// The bytes of each storage, by its key.
  let storages: [ExactString: Range<Int>]

  init(zip file: MappedFile, path: String) throws {
    let archive = try ZipArchive(file.bytes, path: path)
    guard let entry = archive.entries.first(where: { $0.name.hasSuffix("/data.pkl") }) else {
      throw CheckpointError(
        .malformed, file: path, "is a zip archive without data.pkl", expected: "what torch.save writes",
        advice: "Unpack it, if what you look for is in there")
    }
    let root = entry.name.dropLast("data.pkl".count)
    var storages: [ExactString: Range<Int>] = [:]
    for entry in archive.entries where entry.name.hasPrefix(root) {
      let name = entry.name.dropFirst(root.count)
      guard !entry.isCompressed else {
        throw CheckpointError(
          .unsupported, file: path, "its entry \(entry.name) is compressed",
          expected: "entries as they are, as torch.save writes them", advice: "Unpack it and save it again")
      }
      if name == "byteorder", !file.bytes[entry.range].elementsEqual("little".utf8) {
        throw CheckpointError(
          .unsupported, file: path, "was written on a big-endian machine", expected: "little-endian numbers",
          advice: "Load it there and save it as safetensors")
      }
      if name.hasPrefix("data/") { storages[String(name.dropFirst("data/".count))] = entry.range }
    }
    var reader = PickleReader(UnsafeRawBufferPointer(rebasing: file.bytes[entry.range]), path: path)
    value = try reader.read()
    (pickle, self.file, self.storages) = (reader.pickle, file, storages)
  }

  /// Magic number, version, machine, the tensors, the keys of the storages: five pickles; then each storage's count
  /// and numbers.
  init(legacy file: MappedFile, path: String) throws {
    var offset = 0
    func next() throws -> (value: PickleValue, pickle: Pickle) {
      var reader = PickleReader(file.bytes, from: offset, path: path)
      let value = try reader.read()
      offset = reader.offset
      return (value, reader.pickle)
    }
    _ = try next()
    guard try next().value.integer == 1001 else {
      throw CheckpointError(
        .unsupported, file: path, "is of an unknown version of torch.save's format", expected: "1001",
        advice: "Load it in PyTorch and save it as safetensors")
    }
    let machine = try next()
    if machine.pickle.members(machine.value)?.contains(where: {
      if case .bool(false) = $0.value { $0.key.text == "little_endian" } else { false }
    }) == true {
      throw CheckpointError(
        .unsupported, file: path, "was written on a big-endian machine", expected: "little-endian numbers",
        advice: "Load it there and save it as safetensors")
    }
    (value, pickle) = try next()
    let list = try next()
    guard let keys = list.pickle.list(list.value)?.compactMap(\.text) else {
      throw CheckpointError(
        .malformed, file: path, "has no list of storages", expected: "one after its pickles", advice: .fetchAgain)
    }
    var widths: [ExactString: Int] = [:]
    for members in pickle.dictionaries {
      for tensor in members.compactMap(\.value.tensor) { widths[tensor.storage.key] = tensor.storage.unit }
    }
    let reader = LittleEndianReader(bytes: file.bytes)
    var storages: [ExactString: Range<Int>] = [:]
    for key in keys {
      guard let count = reader.integer(at: offset, bytes: 8) else {
        throw CheckpointError(
          .malformed, file: path, "ends before its numbers do", expected: "all of them", advice: .fetchAgain)
      }
      // A storage that no tensor uses has a width that nothing says.
      guard let width = widths[key] else {
        throw CheckpointError(
          .unsupported, file: path, "holds a storage (\(key.prefix(40))) that no tensor uses",
          expected: "one that does for each", advice: "Load it in PyTorch and save its state_dict alone")
      }
      let (length, overflows) = count.multipliedReportingOverflow(by: width)
      guard !overflows, reader.slice(at: offset + 8, count: length) != nil else {
        throw CheckpointError(
          .malformed, file: path, "ends before its numbers do", expected: "all of them", advice: .fetchAgain)
      }
      storages[key] = offset + 8..<offset + 8 + length
      offset += 8 + length
    }
    (self.file, self.storages) = (file, storages)
  }

  /// The dictionary itself, and those in it: training programs put the weights beside their own state.
  private func candidates() -> [(name: String, members: [Pickle.Member])] {
    guard case .dictionary(let top) = value else { return [] }
    var seen: Set = [top]
    var result = [(name: "", members: pickle.dictionaries[top])]
    for member in pickle.dictionaries[top] {
      guard case .dictionary(let place) = member.value, seen.insert(place).inserted else { continue }
      result.append((member.key.text ?? "", pickle.dictionaries[place]))
    }
    return result.filter { $0.members.contains { $0.value.tensor != nil } }
  }

  func tensors(path: String) throws -> (TensorList, [JSON.Member], [String]) {
    let candidates = candidates()
    guard let chosen = candidates.first(where: { $0.name.isEmpty || $0.name == "state_dict" }) ?? candidates.first
    else {
      throw CheckpointError(
        .unsupported, file: path, "holds something else that torch.save wrote", expected: "a dictionary of tensors",
        advice: "Save the model's state_dict() instead")
    }
    guard chosen.name.isEmpty || chosen.name == "state_dict" || candidates.count == 1 else {
      throw CheckpointError(
        .unsupported, file: path,
        "holds several dictionaries of tensors (\(candidates.map(\.name).joined(separator: ", ")))", expected: "one",
        advice: "Save the one with the weights on its own")
    }
    var notes = chosen.name.isEmpty ? [] : ["The weights are those under \"\(chosen.name)\"."]
    // Tensors that lie otherwise than row by row are copied; a file may not make more of its numbers than it has.
    var copied = 0
    var tensors: [StoredTensor] = []
    var positions: [ExactString: Int] = [:]
    var metadata: [JSON.Member] = []
    var others: [String] = []
    for member in chosen.members {
      guard let name = member.key.text else {
        throw CheckpointError(
          .malformed, file: path, "a key of its dictionary is no text", expected: "a tensor's name",
          advice: "Save the model's state_dict() instead")
      }
      switch member.value {
      case .tensor(let tensor):
        let stored = try stored(tensor, name: name, path: path, copied: &copied)
        // As in Python, the last member of a name counts.
        if let position = positions[ExactString(name)] {
          tensors[position] = stored
        } else {
          positions[ExactString(name)] = tensors.count
          tensors.append(stored)
        }
      case .text(let text): metadata.append(JSON.Member(name, .string(text)))
      default: others.append(name)
      }
    }
    if !others.isEmpty { notes.append("Passed over, being no tensors: \(others.prefix(8).joined(separator: ", ")).") }
    return (TensorList(tensors), metadata, notes)
  }

  private func stored(_ tensor: TorchTensor, name: String, path: String, copied: inout Int) throws -> StoredTensor {
    func broken(_ found: String, _ expected: String) -> CheckpointError {
      CheckpointError(.malformed, file: path, "\(name): \(found)", expected: expected, advice: .fetchAgain)
    }
    let storage = tensor.storage
    guard let range = storages[storage.key] else {
      throw broken("its numbers, storage \(storage.key.prefix(40)), are missing", "them in the file")
    }
    let width = storage.format.bits / 8
    guard let size = storage.format.byteCount(storage.count), size <= range.count else {
      throw broken("\(range.count / max(width, 1)) numbers are there", "\(storage.count)")
    }
    // No more numbers than the storage has: a tensor that repeats some would take memory without bound.
    let info = TensorInfo(name: name, format: storage.format, shape: tensor.shape)
    guard let bytes = TensorInfo.byteCount(storage.format, tensor.shape), bytes <= range.count else {
      throw broken("has the shape \(tensor.shape)", "one of its \(storage.count) numbers")
    }
    guard bytes > 0 else { return StoredTensor(info: info, file: file, range: range.lowerBound..<range.lowerBound) }
    guard tensor.offset >= 0, tensor.offset < storage.count,
      tensor.strides.allSatisfy({ $0 >= 0 && $0 <= storage.count })
    else { throw broken("lies beyond its numbers", "a place among the \(storage.count)") }
    // The last number's place; extents and strides are within the storage's count, so that nothing overflows.
    var last = tensor.offset
    for (extent, stride) in zip(tensor.shape, tensor.strides) {
      let (step, overflows) = (extent - 1).multipliedReportingOverflow(by: stride)
      guard !overflows, step <= storage.count, last <= storage.count else {
        throw broken("lies beyond its numbers", "a place among the \(storage.count)")
      }
      last += step
    }
    guard last < storage.count else { throw broken("lies beyond its numbers", "a place among the \(storage.count)") }
    let start = range.lowerBound + tensor.offset * width
    var expected = 1
    let isContiguous = zip(tensor.shape, tensor.strides).reversed().allSatisfy { extent, stride in
      defer { expected *= extent }
      return extent == 1 || stride == expected
    }
    if isContiguous { return StoredTensor(info: info, file: file, range: start..<start + bytes) }
    copied += bytes
    guard copied <= 2 * file.bytes.count else {
      throw broken("shares its numbers with too many others", "views that are few")
    }
    return StoredTensor(info: info) { target in
      let source = UnsafeRawBufferPointer(rebasing: file.bytes[range])
      var index = Array(repeating: 0, count: tensor.shape.count)
      var place = tensor.offset
      for position in 0..<info.count {
        target.baseAddress!.advanced(by: position * width)
          .copyMemory(from: source.baseAddress!.advanced(by: place * width), byteCount: width)
        for axis in tensor.shape.indices.reversed() {
          index[axis] += 1
          place += tensor.strides[axis]
          if index[axis] < tensor.shape[axis] { break }
          place -= index[axis] * tensor.strides[axis]
          index[axis] = 0
        }
      }
    }
  }
}
