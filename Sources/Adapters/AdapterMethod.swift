// What a method of adaptation (LoRA, DoRA, LoHa, …) is: its tensors' names in files, and what it makes of a weight.
//
// A new method is one file in Methods/ and a line in `AdapterMethods.all`; inspect, check, merge, resize, diff, convert
// and attach ask nothing but what stands here.

import LoRAFiles
import LoRANetworks
import LoRATensors

/// One method's change of one module, as a value. Its numbers stay where they are stored until they are asked for.
public protocol AdapterMethod: Sendable {
  /// As people write it: "LoRA".
  static var name: String { get }
  /// The same of this value, where one type has several variants: "BOFT".
  var name: String { get }
  /// peft's `peft_type` whose folders hold it; nil where peft has none.
  static var peftType: String? { get }
  /// The same of this value: nil also where peft has the method, but not this form of it.
  var peftType: String? { get }
  /// Whether peft's `target_modules` chooses its modules; another field does otherwise.
  static var isTargeted: Bool { get }
  /// Whether these tensors of one module are its own, all of them.
  static func recognises(_ parts: Set<MethodPart>) -> Bool
  /// The tensors that a module of it may have.
  static var parts: [MethodPart] { get }
  /// The names of tensors that all modules of a PEFT folder share.
  static var sharedNames: [String] { get }

  /// - Throws: `CheckpointError` where parts are missing, do not fit each other or hold what is no real number.
  init(_ parts: ModuleParts) throws

  /// Its tensors, by part.
  var tensors: [(part: MethodPart, tensor: StoredTensor)] { get }
  /// What the module's weight must be.
  var shape: UpdateShape { get }
  /// The rank of its factors; 0 where it has none.
  var rank: Int { get }
  /// What the change is multiplied by; 1 where nothing scales it.
  var scale: Double { get }
  /// α as files without a configuration hold it; nil where the scale is 1, as it is without one.
  var storedAlpha: Double? { get }
  /// Whether programs other than peft have no names for its tensors.
  var isPEFTOnly: Bool { get }

  /// The change of the weight as scale · B A, exactly, without forming it; nil where it is none that is independent of
  /// the weight.
  func factors() throws -> LowRankUpdate?
  /// Whether there are such factors, at least for a known number of inputs.
  var isProduct: Bool { get }
  /// What of it is a change by a sum: DoRA's direction; by default all.
  var core: any AdapterMethod { get }
  /// The same method around another core.
  func replacing(core: any AdapterMethod) -> any AdapterMethod
  /// The same for a weight with `inputs` inputs, where the tensors alone do not say how many there are (VeRA, MiSS).
  func factors(inputs: Int) throws -> LowRankUpdate?
  /// What it makes of a weight, ready to be worked out in blocks of rows.
  func transform(of weight: WeightMatrix) throws -> any WeightTransform
  /// What it makes of the module's bias, [outputs]; nil where that stays as it is.
  func bias(_ bias: Tensor) throws -> Tensor?
  /// Whether it changes a bias, where the layer has one.
  var changesBias: Bool { get }
  /// Whether the layer must have one.
  var needsBias: Bool { get }
  /// Whether it adds the same to a weight whatever that is, so that it can be subtracted again.
  var isAdditive: Bool { get }
  /// Whether rows of the new weight depend on other rows of the old one.
  var mixesRows: Bool { get }
  /// Whether a row of the new weight depends on nothing but that row of the old one, so that the rows may lie in several
  /// tensors.
  var isRowwise: Bool { get }
  /// The same on a model in memory.
  func attached(to weight: Parameter, named name: String) throws -> any Adapter
}

extension AdapterMethod {
  public static var isTargeted: Bool { true }
  public static var sharedNames: [String] { [] }
  public static func recognises(_ found: Set<MethodPart>) -> Bool {
    !found.isDisjoint(with: parts) && found.isSubset(of: parts)
  }
  public var name: String { Self.name }
  public var peftType: String? { Self.peftType }
  public var rank: Int { 0 }
  public var scale: Double { 1 }
  public var storedAlpha: Double? { scale == 1 ? nil : Scaling.standard.alpha(scale: scale, rank: max(rank, 1)) }
  public var isPEFTOnly: Bool { false }
  public func factors() throws -> LowRankUpdate? { nil }
  public var isProduct: Bool { isAdditive }
  public var core: any AdapterMethod { self }
  public func replacing(core: any AdapterMethod) -> any AdapterMethod { core }
  public func bias(_ bias: Tensor) throws -> Tensor? { nil }
  public var changesBias: Bool { false }
  public var needsBias: Bool { changesBias }
  public var isAdditive: Bool { true }
  public var mixesRows: Bool { false }
  public var isRowwise: Bool { isAdditive && !mixesRows }
  public func factors(inputs: Int) throws -> LowRankUpdate? { try factors() }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    guard let factors = try factors(inputs: weight.inputs) else {
      throw CheckpointError(
        .unsupported, file: "", "\(Self.name) gives no change of a weight", expected: "a method that does",
        advice: "Take another adapter")
    }
    return LowRankTransform(factors, isTransposed: weight.isTransposed)
  }

  public func attached(to weight: Parameter, named name: String) throws -> any Adapter {
    // The factors alone would lose what it does to the bias when they are stored again.
    guard !changesBias, let factors = try factors(inputs: weight.inputs) else {
      return try FixedAdapter(self, on: weight, named: name)
    }
    return LoRA(
      a: Parameter(factors.a), b: Parameter(factors.b), alpha: Float(factors.scale * Double(factors.rank)),
      layout: weight.layout, name: name)
  }
}

/// A tensor of a method by what files call it, after the module's path.
public struct MethodPart: Hashable, Sendable {
  /// peft's own: ".lora_A.weight".
  public let suffix: String
  /// Other programs': ".lora_down.weight".
  public let otherSuffixes: [String]
  /// Whether only other programs have it, in files of their own.
  public let isForeign: Bool

  /// A part by peft's suffix and, where other programs call it otherwise, theirs. Suffixes begin with their dot.
  public init(_ suffix: String, _ otherSuffixes: String..., isForeign: Bool = false) {
    self.suffix = suffix
    self.otherSuffixes = otherSuffixes
    self.isForeign = isForeign
  }

  /// All names of the part, peft's first.
  public var suffixes: [String] { [suffix] + otherSuffixes }
}

/// The tensors that a file holds of one module, and what its configuration says.
public struct ModuleParts: Sendable {
  /// The module's path, as the adapter's file has it.
  public let path: String
  /// For messages.
  public let file: String
  /// What the file holds of the module, by part.
  public var tensors: [MethodPart: StoredTensor]
  /// α; nil where the file has none, which means a scale of 1.
  public var alpha: Double?
  /// How α and the rank make the scale.
  public var scaling: Scaling
  /// The rank that the configuration gives this module; nil where it names none. Tensors that show a rank win.
  public var rank: Int?
  /// Tensors that all modules of the file share, by name (VeRA's projections), in full.
  public var shared: [String: StoredTensor]
  /// The adapter's configuration, with what only its method knows.
  public var fields: JSON

  /// The parts of the module at `path`, out of the file of that name.
  public init(
    path: String, file: String, tensors: [MethodPart: StoredTensor], alpha: Double? = nil,
    scaling: Scaling = .standard, rank: Int? = nil, shared: [String: StoredTensor] = [:], fields: JSON = .object([])
  ) {
    self.path = path
    self.file = file
    self.tensors = tensors
    self.alpha = alpha
    self.scaling = scaling
    self.rank = rank
    self.shared = shared
    self.fields = fields
  }

  /// The tensor of a part; nil where the file has none.
  public subscript(part: MethodPart) -> StoredTensor? { tensors[part] }

  /// An error about this module that names the file and the path.
  public func problem(
    _ found: String, expected: String? = nil, kind: CheckpointError.Kind = .malformed,
    advice: Advice = "Fetch the adapter again, or save it anew with what trained it"
  ) -> CheckpointError {
    CheckpointError(kind, file: file, "\(path): \(found)", expected: expected, advice: advice)
  }

  /// A part that must be there, with real numbers in it.
  public func required(_ part: MethodPart) throws -> StoredTensor {
    guard let tensor = try optional(part) else {
      throw problem("\(part.suffix.dropFirst()) is missing beside \(found)", kind: .missing)
    }
    return tensor
  }

  /// A part that may be there, with real numbers in it.
  public func optional(_ part: MethodPart) throws -> StoredTensor? {
    guard let tensor = tensors[part] else { return nil }
    guard tensor.count > 0 else {
      throw problem(
        "\(tensor.name) is empty, of shape \(tensor.shape), as DeepSpeed's ZeRO-3 saves what was not gathered first",
        expected: "numbers",
        advice: "Save it again with the parameters gathered (stage3_gather_16bit_weights_on_model_save)")
    }
    guard tensor.format.isConvertible else {
      throw problem(
        "\(tensor.name) is stored as \(tensor.format.rawValue)", expected: "F32, F16, BF16 or F64", kind: .unsupported)
    }
    return tensor
  }

  private var found: String { tensors.values.map(\.name).sorted().joined(separator: ", ") }

  /// The scale for a rank: 1 where there is no α.
  ///
  /// - Throws: `CheckpointError` where α is NaN or infinite.
  public func scale(rank: Int) throws -> (alpha: Double, scale: Double) {
    guard let alpha else { return (scaling.alpha(scale: 1, rank: rank), 1) }
    guard alpha.isFinite else {
      throw problem("alpha is \(alpha), which makes no scale", expected: "a finite number", kind: .number)
    }
    return (alpha, scaling.scale(rank: rank, alpha: alpha))
  }
}

/// What a method asks of a weight.
public enum UpdateShape: Equatable, Sendable {
  /// A matrix [outputs, inputs], or a convolution with these kernel lengths, whose numbers count as inputs.
  case matrix(outputs: Int, inputs: Int, kernel: [Int] = [])
  /// A table [rows, width] of which rows are looked up; the update is [width, rows].
  case embedding(outputs: Int, inputs: Int)
  /// As many outputs, whatever the inputs; or as many inputs, whatever the outputs. Of a convolution, these may be its
  /// channels or its channels times the kernel: the method says when it is given the weight.
  case outputs(Int)
  /// As many inputs, whatever the outputs.
  case inputs(Int)
  /// Rows of a table of this width, however many it has.
  case rows(width: Int)
  /// A tensor of this very shape.
  case same([Int])
}
