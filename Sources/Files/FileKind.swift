// What a file really is, whatever its name says: told from its first bytes.
//
// The commonest wrong file is one that a download left: the pointer that Git LFS keeps in place of a large file, or
// the page that says why there is no file.

import Foundation
import LoRATensors

/// A kind of file that turns up where weights are expected.
public enum FileKind: Equatable, Sendable, CustomStringConvertible {
  /// No byte at all, as a download leaves that never began.
  case empty
  /// It looks like safetensors; whether its header is valid is another question.
  case safetensors
  /// What `torch.save` writes since PyTorch 1.6.
  case torchZip
  /// What `torch.save` wrote before.
  case torchLegacy
  /// What `torch.save` wrote before PyTorch 0.1.10, or any other tar archive.
  case tar
  /// A Python pickle outside a zip archive, which may run code where it is loaded.
  case pickle
  /// A zip archive that is neither PyTorch's nor NumPy's.
  case zip
  /// llama.cpp's format.
  case gguf
  /// One array of NumPy's, `.npy`.
  case numpy
  /// Several arrays of NumPy's, `.npz`.
  case numpyZip
  /// An ONNX graph (protocol buffers).
  case onnx
  /// HDF5, as Keras saves weights.
  case hdf5
  /// Apache Parquet, a table of data.
  case parquet
  /// Anything that gzip compressed.
  case gzip
  /// The text that Git LFS keeps in the place of a large file: the file itself was not fetched.
  case gitLFSPointer
  /// A web page, most often one that says why there is no file.
  case html
  /// XML, most often a storage service's error.
  case xml
  /// A JSON text: a configuration or an index, not the weights.
  case json
  /// Other text, and how it begins.
  case text(String)
  /// Bytes that begin like nothing that is known.
  case unknown

  /// - Parameter bytes: the whole file, or its first 512 bytes.
  public init(_ bytes: UnsafeRawBufferPointer) {
    func begins(_ text: StaticString) -> Bool {
      let text = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
      return bytes.prefix(text.count).elementsEqual(text)
    }
    func begins(_ magic: [UInt8]) -> Bool { bytes.prefix(magic.count).elementsEqual(magic) }

    if bytes.isEmpty {
      self = .empty
    } else if begins("PK\u{03}\u{04}") || begins("PK\u{05}\u{06}") {
      self = Self.zip(bytes)
    } else if begins(TorchFile.legacyMagic) {
      self = .torchLegacy
    } else if bytes.count >= 2, bytes[0] == 0x80, (2...5).contains(bytes[1]) {
      self = .pickle
    } else if begins("GGUF") {
      self = .gguf
    } else if begins([0x93] + Array("NUMPY".utf8)) {
      self = .numpy
    } else if begins([0x89] + Array("HDF\r\n".utf8)) {
      self = .hdf5
    } else if begins("PAR1") {
      self = .parquet
    } else if begins([0x1F, 0x8B]) {
      self = .gzip
    } else if bytes.count >= 262, bytes[257..<262].elementsEqual("ustar".utf8) {
      self = .tar
    } else if begins("version https://git-lfs.github.com/spec/") {
      self = .gitLFSPointer
    } else if Self.isSafetensors(bytes) {
      self = .safetensors
    } else if Self.isONNX(bytes) {
      self = .onnx
    } else {
      self = Self.text(bytes)
    }
  }

  /// Eight bytes of a header's length, which must be one, and the header's brace.
  private static func isSafetensors(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= 9, bytes[8] == UInt8(ascii: "{") else { return false }
    return UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)) <= UInt64(SafetensorsHeader.longest)
  }

  /// Protocol buffers have no magic number: field 1 is ONNX's version, a small number, field 2 the producer's name.
  private static func isONNX(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.count >= 4 && bytes[0] == 0x08 && (1...32).contains(bytes[1]) && bytes[2] == 0x12
      && (1..<64).contains(bytes[3])
  }

  private static func zip(_ bytes: UnsafeRawBufferPointer) -> FileKind {
    // The first entry's name is at hand; torch.save's first entry is the pickle.
    let length = bytes.count < 30 ? 0 : Int(bytes[26]) | Int(bytes[27]) << 8
    let name = String(decoding: bytes.dropFirst(30).prefix(length), as: UTF8.self)
    if name.hasSuffix("/data.pkl") { return .torchZip }
    if name.hasSuffix(".npy") { return .numpyZip }
    let archive = try? ZipArchive(bytes, path: "")
    return archive?.entries.contains { $0.name.hasSuffix("/data.pkl") } == true ? .torchZip : .zip
  }

  private static func text(_ bytes: UnsafeRawBufferPointer) -> FileKind {
    var start = UnsafeRawBufferPointer(rebasing: bytes.prefix(512))[...]
    if start.starts(with: [0xEF, 0xBB, 0xBF]) { start = start.dropFirst(3) }
    let text = String(decoding: start, as: UTF8.self)
    // A character may have been cut at the end; elsewhere, text has none that could not be decoded.
    let isText = !text.dropLast().unicodeScalars.contains {
      $0 == "\u{FFFD}" || $0.value < 0x20 && !"\t\n\r".unicodeScalars.contains($0)
    }
    guard isText else { return .unknown }
    let content = text.drop(while: \.isWhitespace)
    let lowercase = content.lowercased()
    if ["<!doctype html", "<html", "<head", "<body"].contains(where: lowercase.hasPrefix) { return .html }
    if content.hasPrefix("<") { return lowercase.contains("<html") ? .html : .xml }
    if content.hasPrefix("{") || content.hasPrefix("[") { return .json }
    return .text(String(content.prefix { !$0.isNewline }.prefix(60)))
  }

  /// Whether ``TorchFile`` is the one to read it.
  public var isTorch: Bool { self == .torchZip || self == .torchLegacy }

  /// What it is, to stand after "is".
  public var description: String {
    switch self {
    case .empty: "empty"
    case .safetensors: "a safetensors file"
    case .torchZip: "a PyTorch weight file (torch.save)"
    case .torchLegacy: "a PyTorch weight file of the time before PyTorch 1.6 (torch.save)"
    case .tar: "a tar archive, as PyTorch's weight files were before version 0.1.10"
    case .pickle: "a Python pickle that torch.save did not write, and could run code when loaded; it is not read"
    case .zip: "a zip archive that torch.save did not write"
    case .gguf: "a GGUF file (llama.cpp) under the name of another format"
    case .numpy: "a NumPy array file (.npy)"
    case .numpyZip: "a NumPy archive (.npz)"
    case .onnx: "an ONNX model"
    case .hdf5: "an HDF5 file, as Keras writes them"
    case .parquet: "a Parquet file, which holds a table and no weights"
    case .gzip: "compressed with gzip"
    case .gitLFSPointer: "a Git LFS pointer, not the file itself"
    case .html: "an HTML page, not the file itself: the download failed"
    case .xml: "an XML page, not the file itself: the download failed"
    case .json: "a JSON text, which holds no weights"
    case .text(let start): "a text that begins with “\(start)”, not the file itself"
    case .unknown: "of no kind that is known here"
    }
  }

  /// What to do with a file of this kind where another was looked for; `nil`: fetch the right one.
  var advice: Advice? {
    switch self {
    case .tar: "Load it in the PyTorch that wrote it, and save it with a newer one"
    case .pickle: "If you trust it, convert it in Python with safetensors.torch.save_file"
    case .numpyZip, .hdf5: "Convert it in Python with safetensors.torch.save_file"
    case .zip: "Unpack it, if what you look for is in there"
    case .gguf: "Name it .gguf"
    case .onnx: "Use the weights that it was exported from"
    case .gzip: "Unpack it with `gunzip` first"
    case .gitLFSPointer: "Fetch the file with `git lfs pull`"
    case .html: "Fetch it again, signed in if the page asks for that"
    default: nil
    }
  }
}
