// Operations that move elements and compute nothing.

import LoRACKernels

extension Tensor {
  /// The same elements in the same order under another shape; shares memory. One axis may be −1: it takes what the
  /// others leave.
  public func reshaped(_ shape: [Int]) -> Tensor {
    if shape == self.shape { return self }
    let known = shape.filter { $0 != -1 }
    let product = known.reduce(1, *)
    let isFull = known.count == shape.count
    expect(
      known.allSatisfy { $0 >= 0 }
        && (isFull ? product == count : known.count == shape.count - 1 && product > 0 && count % product == 0),
      "reshaped: shape \(self.shape) has \(count) elements and can't become \(shape)")
    if !isFull { return reshaped(shape.map { $0 == -1 ? count / product : $0 }) }
    return Tensor(storage: storage, shape: shape).recorded(.reshape, self, Derivative.reshape(to: self.shape))
  }

  /// Axis i of the result is axis `order[i]` of this tensor.
  public func permuted(_ order: [Int]) -> Tensor {
    expect(order.sorted() == Array(0..<rank), "permuted: \(order) is no order of the axes of \(shape)")
    var strides = [Int](repeating: 1, count: rank)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    let newShape = order.map { shape[$0] }
    let newStrides = order.map { strides[$0] }
    let x = widened
    return Tensor(shape: newShape) { ck_permute(Int32(rank), newShape, x.pointer, newStrides, $0.baseAddress) }
      .recorded(.permute, self, Derivative.permute(order))
  }

  /// The last two axes exchanged.
  public func transposed() -> Tensor {
    expect(rank >= 2, "transposed: a matrix is needed, found shape \(shape)")
    return permuted(Array(0..<rank - 2) + [rank - 1, rank - 2])
  }

  /// The part `range` of one axis.
  public func sliced(axis: Int, _ range: Range<Int>) -> Tensor {
    let axis = resolved(axis: axis, "sliced")
    expect(
      range.lowerBound >= 0 && range.upperBound <= shape[axis], "sliced: \(range) of axis \(axis) of shape \(shape)")
    let (outer, length, inner) = extents(around: axis)
    var newShape = shape
    newShape[axis] = range.count
    let x = widened
    return Tensor(shape: newShape) { out in
      for i in 0..<outer {
        (out.baseAddress! + i * range.count * inner).update(
          from: x.pointer + (i * length + range.lowerBound) * inner, count: range.count * inner)
      }
    }.recorded(.slice, self, Derivative.slice(from: shape, axis: axis, range))
  }

  /// The tensors one after another along an axis; the other axes agree.
  public static func concatenated(_ parts: [Tensor], axis: Int) -> Tensor {
    expect(!parts.isEmpty, "concatenated: no tensors")
    let axis = parts[0].resolved(axis: axis, "concatenated")
    let elements = parts.map(\.widened)
    var shape = parts[0].shape
    shape[axis] = 0
    for part in parts {
      var other = part.shape
      expect(other.count == shape.count, "concatenated: shapes \(parts.map(\.shape)) differ in rank")
      shape[axis] += other[axis]
      other[axis] = shape[axis]
      expect(other == shape, "concatenated: shapes \(parts.map(\.shape)) differ beside axis \(axis)")
    }
    let (outer, length, inner) = (shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *))
    var starts: [Int] = []
    let result = Tensor(shape: shape) { out in
      var start = 0
      for part in elements {
        let size = part.shape[axis] * inner
        for i in 0..<outer {
          (out.baseAddress! + (i * length + start) * inner).update(from: part.pointer + i * size, count: size)
        }
        starts.append(start)
        start += part.shape[axis]
      }
    }
    return result.recorded(.concatenate, parts) { index in
      Derivative.concatenate(axis: axis, starts[index]..<starts[index] + parts[index].shape[axis])
    }
  }

  /// Tensors of one shape side by side along a new axis: of n tensors [a, b], `stacked(axis: 1)` is [a, n, b]. Axis −1
  /// is the last of the result.
  public static func stacked(_ parts: [Tensor], axis: Int = 0) -> Tensor {
    expect(!parts.isEmpty, "stacked: no tensors")
    let shape = parts[0].shape
    expect(parts.allSatisfy { $0.shape == shape }, "stacked: shapes \(parts.map(\.shape)) differ")
    let place = axis < 0 ? axis + shape.count + 1 : axis
    expect(place >= 0 && place <= shape.count, "stacked: axis \(axis) of tensors of shape \(shape)")
    return .concatenated(parts.map { $0.reshaped(shape[..<place] + [1] + shape[place...]) }, axis: place)
  }

  /// The rows of a table by index: [n, columns] and k indices → [k, columns]. The gradient of a row that is taken
  /// several times is the sum.
  public func rows(at indices: [Int]) -> Tensor {
    expect(rank == 2, "rows: a matrix is needed, found shape \(shape)")
    expect(
      indices.allSatisfy { $0 >= 0 && $0 < shape[0] }, "rows: an index lies outside 0..<\(shape[0])")
    let index = indices.map(Int32.init)
    let columns = shape[1]
    return Tensor(shape: [index.count, columns]) { out in
      if let encoded = storage.encoded {
        encoded.decode(rowsAt: index, into: out.baseAddress!)
      } else if let table = storage.narrow {
        for (place, row) in indices.enumerated() {
          ck_bf16_to_f32(table + row * columns, out.baseAddress! + place * columns, columns)
        }
      } else {
        ck_gather_rows(pointer, index, out.baseAddress, index.count, columns)
      }
    }.recorded(.rows, self, Derivative.rows(index, of: shape))
  }
}
