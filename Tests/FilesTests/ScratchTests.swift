import LoRAFiles
import LoRATensors
import Testing

struct ScratchTests {
  @Test(
    "Scratch bytes are read back at any place, those in the file and those still in memory",
    arguments: [0, 100, 1 << 20])
  func bytes(memoryLimit: Int) throws {
    var random = SeededGenerator(seed: 2)
    var expected: [UInt8] = []
    let scratch = ScratchBytes(memoryLimit: memoryLimit)
    // Beyond 1 MB a part goes into the file and the rest stays.
    for _ in 0..<150 {
      let part = (0..<Int.random(in: 0..<20_000, using: &random)).map {
        UInt8(truncatingIfNeeded: $0 &* 7 &+ expected.count)
      }
      try scratch.append(part)
      expected += part
    }
    #expect(scratch.count == expected.count)
    for _ in 0..<300 {
      let start = Int.random(in: 0...expected.count, using: &random)
      var buffer = [UInt8](repeating: 0, count: Int.random(in: 0..<100_000, using: &random))
      let count = try buffer.withUnsafeMutableBytes { try scratch.read(at: start, into: $0) }
      #expect(count == min(buffer.count, expected.count - start))
      #expect(buffer.prefix(count) == expected[start..<start + count])
    }
  }

  @Test("Lists of numbers are found by position, alone and in stretches")
  func lists() throws {
    var random = SeededGenerator(seed: 4)
    let expected = (0..<4000).map { index in
      (0..<(index == 1234 ? 9000 : Int.random(in: 0..<9, using: &random))).map { _ in
        Int32.random(in: 0...(.max), using: &random) >> Int32.random(in: 0..<31, using: &random)
      }
    }
    var lists = NumberLists()
    for list in expected { try lists.append(list) }
    for index in expected.indices.shuffled(using: &random).prefix(500) + [0, 1233, 1234, 1235, 3999] {
      #expect(try lists.list(at: index) == expected[index])
    }
    for range in [0..<4000, 1200..<1300, 3999..<4000, 17..<17] {
      var found: [[Int32]] = []
      try lists.forEach(in: range) { index, list in
        #expect(index == range.lowerBound + found.count)
        found.append(list)
      }
      #expect(found == Array(expected[range]))
    }
  }

  @Test("Small integers are themselves in one byte and in two")
  func smallIntegers() {
    var numbers: SmallIntegers = [0, 255, 7]
    #expect(Array(numbers) == [0, 255, 7])
    numbers.append(65_535)
    #expect(Array(numbers) == [0, 255, 7, 65_535] && numbers == SmallIntegers([0, 255, 7, 65_535]))
    var few: SmallIntegers = [2, 0, 1, 2]
    few.renumber([5, 0, 9])
    #expect(Array(few) == [9, 5, 0, 9])
  }
}
