import LoRACKernels

/// A dense, row-major array of float32 of any rank: a value, never changed once made. (One that borrows its memory may
/// keep bfloat16 or encoded numbers there, each of which is a float32.)
///
/// ```swift
/// let x = Tensor(shape: [2, 3], scalars: [1, 2, 3, 4, 5, 6])
/// let y = (x * 2).sum(axis: 1)  // [12, 30]
/// ```
///
/// Operations check shapes with preconditions that name the operation and both shapes. Where an input takes part in
/// a gradient (see `valueAndGradients`), the result remembers how it was made; otherwise nothing is recorded.
public struct Tensor: Sendable {
  package var storage: Storage
  /// The length of every axis, outermost first; `[]` is a scalar.
  public let shape: [Int]
  /// How this value was made, where a gradient was asked for.
  package let node: Node?

  package init(storage: Storage, shape: [Int], node: Node? = nil) {
    assert(storage.count == shape.reduce(1, *))
    self.storage = storage
    self.shape = shape
    self.node = node
  }

  /// A tensor of `shape` that `body` fills; every element must be written.
  public init(shape: [Int], initializedWith body: (UnsafeMutableBufferPointer<Float>) throws -> Void) rethrows {
    let storage = Storage(count: shape.reduce(1, *))
    try body(UnsafeMutableBufferPointer(start: storage.base, count: storage.count))
    self.init(storage: storage, shape: shape)
  }

  /// A tensor from its elements in row-major order.
  public init(shape: [Int], scalars: [Float]) {
    expect(
      shape.reduce(1, *) == scalars.count,
      "Tensor(shape:scalars:): shape \(shape) holds \(shape.reduce(1, *)) elements, found \(scalars.count)")
    self.init(shape: shape) { _ = $0.initialize(from: scalars) }
  }

  /// A scalar, of shape `[]`.
  public init(_ scalar: Float) {
    self.init(shape: [], scalars: [scalar])
  }

  /// A vector.
  public init(_ scalars: [Float]) {
    self.init(shape: [scalars.count], scalars: scalars)
  }

  /// A matrix from its rows: `Tensor([[1, 2], [3, 4]])`.
  @_disfavoredOverload
  public init(_ rows: [[Float]]) {
    let length = rows.first?.count ?? 0
    expect(rows.allSatisfy { $0.count == length }, "Tensor: rows of \(rows.map(\.count)) elements are no matrix")
    self.init(shape: [rows.count, length], scalars: rows.flatMap { $0 })
  }

  /// Three axes from matrices of one shape: `Tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])`.
  @_disfavoredOverload
  public init(_ matrices: [[[Float]]]) {
    let parts = matrices.map { Tensor($0) }
    let shape = parts.first?.shape ?? [0, 0]
    expect(parts.allSatisfy { $0.shape == shape }, "Tensor: matrices of shapes \(parts.map(\.shape)) are no tensor")
    self.init(shape: [parts.count] + shape, scalars: parts.flatMap(\.scalars))
  }

  /// Memory that `owner` keeps valid and unchanged, for example a mapped file, without a copy.
  public init(shape: [Int], borrowing base: UnsafePointer<Float>, owner: AnyObject) {
    self.init(storage: Storage(borrowing: base, count: shape.reduce(1, *), owner: owner), shape: shape)
  }

  /// The same with elements of bfloat16, which stay so: half the memory. Matrix products and `rows` widen them as they
  /// go; any other operation widens a copy, and so does the first change.
  public init(shape: [Int], borrowingBFloat16 base: UnsafePointer<UInt16>, owner: AnyObject) {
    self.init(
      storage: Storage(borrowingBFloat16: base, count: shape.reduce(1, *), owner: owner), shape: shape)
  }

  /// A matrix whose numbers stay encoded. Matrix products and `rows` decode them as they go; any other operation decodes
  /// a copy, and so does the first change.
  package init(_ encoded: EncodedMatrix) {
    self.init(storage: Storage(encoded), shape: [encoded.rows, encoded.columns])
  }

  /// A tensor with the same value everywhere.
  public static func full(_ shape: [Int], _ value: Float) -> Tensor {
    Tensor(shape: shape) { $0.initialize(repeating: value) }
  }

  /// A tensor of zeros.
  public static func zeros(_ shape: [Int]) -> Tensor { full(shape, 0) }
  /// A tensor of ones.
  public static func ones(_ shape: [Int]) -> Tensor { full(shape, 1) }

  /// The n × n identity.
  public static func identity(_ n: Int) -> Tensor {
    Tensor(shape: [n, n]) { buffer in
      buffer.initialize(repeating: 0)
      for i in 0..<n { buffer[i * n + i] = 1 }
    }
  }

  /// The number of axes.
  public var rank: Int { shape.count }
  /// The number of elements.
  public var count: Int { storage.count }
  /// The elements in row-major order.
  public var scalars: [Float] { withUnsafeBufferPointer(Array.init) }

  /// The only element.
  public var item: Float {
    expect(count == 1, "item: a tensor of shape \(shape) has \(count) elements, not one")
    return storage[0]
  }

  /// The element at one position; slow, for looking.
  public subscript(_ position: Int...) -> Float {
    expect(position.count == rank, "subscript: \(position.count) positions for shape \(shape)")
    var offset = 0
    for (index, length) in zip(position, shape) {
      expect(index >= 0 && index < length, "subscript: position \(position) lies outside shape \(shape)")
      offset = offset * length + index
    }
    return storage[offset]
  }

  /// Lends the elements in row-major order, as float32, for the length of the call: a copy where they are stored as
  /// bfloat16 or encoded, else the memory itself.
  public func withUnsafeBufferPointer<Result>(_ body: (UnsafeBufferPointer<Float>) throws -> Result) rethrows -> Result
  {
    let floats = widened.storage
    defer { withExtendedLifetime(floats) {} }
    return try body(UnsafeBufferPointer(start: floats.base, count: floats.count))
  }

  /// The same value with its elements in memory as float32: a copy where they are stored otherwise. What hands `pointer` to a
  /// kernel asks for it first.
  package var widened: Tensor {
    storage.isNarrow ? Tensor(storage: storage.copied(), shape: shape, node: node) : self
  }

  /// Bytes of memory that the elements take.
  public var byteCount: Int {
    storage.encoded?.byteCount
      ?? count * (storage.isNarrow ? MemoryLayout<UInt16>.stride : MemoryLayout<Float>.stride)
  }

  /// Read access for kernels; `storage` outlives every synchronous use. The elements must be float32 (`widened`).
  package var pointer: UnsafePointer<Float> { UnsafePointer(storage.base) }

  /// Lets an optimizer write the elements. Copies first where anybody else holds them.
  package mutating func updateInPlace(_ body: (UnsafeMutablePointer<Float>) -> Void) {
    if storage.isBorrowed || !isKnownUniquelyReferenced(&storage) { storage = storage.copied() }
    body(storage.base)
  }

  /// Whether both have the same memory, so that they are equal without a look at the elements.
  package func isShared(with other: Tensor) -> Bool { storage === other.storage && shape == other.shape }

  /// Whether every element is the same bit for bit, and the shape too.
  public func isIdentical(to other: Tensor) -> Bool {
    guard shape == other.shape else { return false }
    return withUnsafeBufferPointer { a in
      other.withUnsafeBufferPointer { b in a.indices.allSatisfy { a[$0].bitPattern == b[$0].bitPattern } }
    }
  }

  /// False where an element is infinite or not a number.
  public var isFinite: Bool { withUnsafeBufferPointer { ck_all_finite($0.baseAddress, $0.count) } }

  /// The Frobenius norm √Σx², summed in double precision.
  public var norm: Double { withUnsafeBufferPointer { ck_sum_of_squares($0.baseAddress, $0.count) }.squareRoot() }
}
