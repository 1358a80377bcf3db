import Foundation
import LoRACKernels
import Testing

@Suite("Kernels: optimizers, formats, memory, threads", .serialized)
struct StorageKernelTests {
  @Test("Adam follows PyTorch's rule over several steps", arguments: [false, true])
  func adam(decoupled: Bool) {
    let count = 40_003
    var source = PlainSource(6)
    let start = source.values(count)
    let gradients = (0..<3).map { _ in source.values(count) }
    let (rate, beta1, beta2, epsilon, decay) = (1e-2, 0.9, 0.999, 1e-8, 0.1)
    let found = withEveryThreadCount {
      var weight = start
      var m = [Float](repeating: 0, count: count)
      var v = m
      for (index, gradient) in gradients.enumerated() {
        _ = ck_adam_step(
          &weight, gradient, &m, &v, count, Float(rate), Float(beta1), Float(beta2), Float(epsilon), Float(decay),
          decoupled, Int64(index + 1), 0.5)
      }
      return weight
    }
    var worst = 0.0
    for i in 0..<count {
      var weight = Double(start[i])
      var m = 0.0
      var v = 0.0
      for (index, gradient) in gradients.enumerated() {
        var g = 0.5 * Double(gradient[i])
        if decoupled { weight *= 1 - rate * decay } else { g += decay * weight }
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        let step = Double(index + 1)
        weight -= rate * (m / (1 - pow(beta1, step))) / ((v / (1 - pow(beta2, step))).squareRoot() + epsilon)
      }
      worst = max(worst, abs(Double(found[i]) - weight))
    }
    #expect(worst < 2e-6)
  }

  @Test(
    "SGD follows PyTorch's rule, with and without momentum",
    arguments: [(0.0, false), (0.9, false), (0.9, true)])
  func sgd(momentum: Double, nesterov: Bool) {
    let count = 40_003
    var source = PlainSource(7)
    let start = source.values(count)
    let gradients = (0..<3).map { _ in source.values(count) }
    let found = withEveryThreadCount {
      // What is not yet a velocity is never read.
      var weight = start
      var velocity = [Float](repeating: .nan, count: count)
      for (index, gradient) in gradients.enumerated() {
        velocity.withUnsafeMutableBufferPointer {
          _ = ck_sgd_step(
            &weight, gradient, momentum == 0 ? nil : $0.baseAddress!, count, 0.1, Float(momentum), nesterov, 0.01,
            index == 0, 2)
        }
      }
      return weight
    }
    var worst = 0.0
    for i in 0..<count {
      var weight = Double(start[i])
      var velocity = 0.0
      for gradient in gradients {
        let g = 2 * Double(gradient[i]) + 0.01 * weight
        velocity = momentum * velocity + g
        weight -= 0.1 * (nesterov ? g + momentum * velocity : velocity)
      }
      worst = max(worst, abs(Double(found[i]) - weight))
    }
    #expect(worst < 1e-6)
  }

  @Test("every float16 widens exactly and comes back; narrowing rounds to nearest, ties to even")
  func float16() {
    let all = (0...UInt16.max).map { $0 }
    var wide = [Float](repeating: 0, count: all.count)
    var back = [UInt16](repeating: 0, count: all.count)
    ck_f16_to_f32(all, &wide, all.count)
    ck_f32_to_f16(wide, &back, all.count)
    for (pattern, value) in zip(all, wide) {
      let (exponent, fraction) = (Int(pattern >> 10 & 31), Double(pattern & 1023))
      let magnitude =
        exponent == 31
        ? (fraction == 0 ? Double.infinity : .nan)
        : exponent == 0 ? fraction * 0x1p-24 : (1 + fraction / 1024) * pow(2, Double(exponent - 15))
      let expected = pattern >> 15 == 1 ? -magnitude : magnitude
      #expect(
        expected.isNaN ? value.isNaN : Double(value) == expected && value.sign == (pattern >> 15 == 1 ? .minus : .plus))
      #expect(value.isNaN ? back[Int(pattern)] & 0x7fff > 0x7c00 : back[Int(pattern)] == pattern)
    }
    // Halfway between neighbours, and the least above and below it: h goes up where it is odd.
    for h in UInt16(0)..<0x7c00 {
      let low = wide[Int(h)]
      let high = h == 0x7bff ? 65536 : wide[Int(h) + 1]
      let middle = (low + high) / 2
      var narrow = [UInt16](repeating: 0, count: 3)
      ck_f32_to_f16([middle.nextDown, middle, middle.nextUp], &narrow, 3)
      #expect(narrow == [h, h % 2 == 0 ? h : h + 1, h + 1])
    }
  }

  @Test("every bfloat16 widens to its bits and comes back; narrowing rounds to nearest, ties to even")
  func bfloat16() {
    let all = (0...UInt16.max).map { $0 }
    var wide = [Float](repeating: 0, count: all.count)
    var back = [UInt16](repeating: 0, count: all.count)
    ck_bf16_to_f32(all, &wide, all.count)
    ck_f32_to_bf16(wide, &back, all.count)
    for (pattern, value) in zip(all, wide) {
      #expect(value.bitPattern == UInt32(pattern) << 16)
      #expect(value.isNaN ? back[Int(pattern)] & 0x7fff > 0x7f80 : back[Int(pattern)] == pattern)
    }
    for h in UInt16(0)..<0x7f80 {
      let middle = UInt32(h) << 16 | 0x8000
      var narrow = [UInt16](repeating: 0, count: 3)
      ck_f32_to_bf16([middle - 1, middle, middle + 1].map(Float.init(bitPattern:)), &narrow, 3)
      #expect(narrow == [h, h % 2 == 0 ? h : h + 1, h + 1])
    }
  }

  @Test("bytes become (x/255 − mean)/deviation")
  func bytes() {
    let x = (0...UInt8.max).map { $0 }
    var y = [Float](repeating: 0, count: 256)
    ck_normalize_bytes(x, 0.1307, 0.3081, &y, 256)
    for (byte, value) in zip(x, y) { #expect(abs(Double(value) - (Double(byte) / 255 - 0.1307) / 0.3081) < 1e-6) }
  }

  @Test("blocks are aligned, apart from each other, and used again")
  func memory() {
    var blocks: [(pointer: UnsafeMutableRawPointer, bytes: Int)] = []
    for bytes in [0, 1, 63, 64, 65, 511, 513, 1000, 4097, 100_000, 1 << 20, (1 << 20) + 1, 3 << 20, 5_000_001] {
      let pointer = ck_allocate(bytes)!
      #expect(Int(bitPattern: pointer) % 64 == 0)
      memset(pointer, Int32(blocks.count + 1), bytes)
      blocks.append((pointer, bytes))
    }
    for (index, block) in blocks.enumerated() {
      let bytes = UnsafeRawBufferPointer(start: block.pointer, count: block.bytes)
      #expect(bytes.allSatisfy { $0 == UInt8(index + 1) })
    }
    for block in blocks { ck_deallocate(block.pointer, block.bytes) }
    ck_trim_memory()
  }

  @Test("each part runs once, nested jobs run too, and callers on several threads do not disturb each other")
  func threads() async {
    let before = ck_thread_count()
    defer { ck_set_thread_count(before) }
    ck_set_thread_count(3)
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask {
          (0..<300).allSatisfy { _ in
            // Part p adds 1 to element p, through a nested job of one part for each of its 3 numbers.
            let counts = UnsafeMutablePointer<Int32>.allocate(capacity: 7 * 3)
            counts.initialize(repeating: 0, count: 7 * 3)
            defer { counts.deallocate() }
            ck_parallel(
              7,
              { context, part in
                let row = context!.assumingMemoryBound(to: Int32.self) + Int(part) * 3
                ck_parallel(3, { row, part in row!.assumingMemoryBound(to: Int32.self)[Int(part)] += 1 }, row)
              }, counts)
            return UnsafeBufferPointer(start: counts, count: 7 * 3).allSatisfy { $0 == 1 }
          }
        }
      }
      for await correct in group { #expect(correct) }
    }
  }
}
