#if MPI
  import Foundation
  import LoRACMPI
  import LoRATensors

  /// The processes that `mpirun` or `srun` has started together, by MPI. One value for a process.
  ///
  /// Who waits sleeps: ranks may share processors with others that compute.
  public final class MPIRanks: Collective {
    public let rank: Int
    public let count: Int
    public private(set) var bytesSent = 0
    /// Asked while this rank waits. Where it stays true for 0.3 seconds the wait ends with `CollectiveError.alone`:
    /// whatever started the ranks tells the others to end when one has died.
    public var isAskedToEnd: () -> Bool = { false }
    /// The longest that this rank waits for the others: an hour.
    public var patience: Duration = .seconds(3600)

    /// Joins the others.
    public init() throws {
      var (rank, count): (Int32, Int32) = (0, 1)
      let code = lora_mpi_initialize(&rank, &count)
      (self.rank, self.count) = (Int(rank), Int(count))
      try check(code)
    }

    /// Leaves them; every rank must, and nothing can be said after it.
    public func leave() { _ = lora_mpi_finalize() }

    /// Ends every rank's process, this one's too, with an exit code.
    public func endAll(_ code: Int32) { lora_mpi_abort(code) }

    public func exchange(_ numbers: [Float], sending: [Int], receiving: [Int]) throws -> [Float] {
      bytesSent += 4 * (numbers.count - sending[rank])
      return try filled(receiving) { received, counts, places in
        try withRuns(sending) { sentCounts, sentPlaces in
          try numbers.withUnsafeBufferPointer { sent in
            try wait {
              lora_mpi_exchange(sent.baseAddress, sentCounts, sentPlaces, received, counts, places, &$0)
            }
          }
        }
      }
    }

    public func gather(_ numbers: [Float], counts: [Int]) throws -> [Float] {
      bytesSent += 4 * numbers.count * (count - 1)
      return try filled(counts) { received, counts, places in
        try numbers.withUnsafeBufferPointer { sent in
          try wait { lora_mpi_gather(sent.baseAddress, Int32(sent.count), received, counts, places, &$0) }
        }
      }
    }

    public func broadcast(_ bytes: [UInt8]) throws -> [UInt8] {
      func spread(_ bytes: inout [UInt8]) throws {
        if rank == 0 { bytesSent += bytes.count * (count - 1) }
        try bytes.withUnsafeMutableBytes { buffer in
          // In pieces, since MPI counts in 32 bits.
          for start in stride(from: 0, to: buffer.count, by: 1 << 30) {
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[start..<min(start + 1 << 30, buffer.count)])
            try wait { lora_mpi_broadcast(piece.baseAddress, Int32(piece.count), 0, &$0) }
          }
        }
      }
      var length = withUnsafeBytes(of: UInt64(bytes.count)) { Array($0) }
      try spread(&length)
      let total = Int(length.withUnsafeBytes { $0.load(as: UInt64.self) })
      var result = rank == 0 ? bytes : [UInt8](repeating: 0, count: total)
      try spread(&result)
      return result
    }

    public func barrier() throws { try wait { lora_mpi_barrier(&$0) } }

    // MARK: Waiting

    /// Begins something and waits until it is over. What it reads and writes must stay in place meanwhile.
    private func wait(_ begin: (inout lora_mpi_operation) -> Int32) throws {
      var operation = lora_mpi_operation()
      try check(begin(&operation))
      let start = ContinuousClock.now
      var asked: ContinuousClock.Instant?
      var turns = 0
      while true {
        var isOver: Int32 = 0
        try check(lora_mpi_test(&operation, &isOver))
        if isOver != 0 { return }
        turns += 1
        // Others of this machine may have to run first; a step takes much longer than the longest of these naps.
        if turns < 200 { sched_yield() } else { usleep(turns < 1000 ? 20 : 500) }
        guard turns % 16 == 0 else { continue }
        if isAskedToEnd() { asked = asked ?? .now }
        if let asked, .now - asked > .milliseconds(300) { throw CollectiveError.alone(rank: rank, count: count) }
        if .now - start > patience { throw CollectiveError.alone(rank: rank, count: count) }
      }
    }

    private func check(_ code: Int32) throws {
      guard code != 0 else { return }
      var text = [CChar](repeating: 0, count: 512)
      lora_mpi_describe(code, &text, Int32(text.count))
      let words = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      throw CollectiveError.failed(rank: rank, "MPI: \(words)")
    }

    // MARK: Runs of numbers

    /// What `body` writes in runs of these lengths.
    private func filled(
      _ lengths: [Int],
      _ body: (UnsafeMutablePointer<Float>?, UnsafePointer<Int32>, UnsafePointer<Int32>) throws -> Void
    ) throws -> [Float] {
      let total = lengths.reduce(0, +)
      return try withRuns(lengths) { counts, places in
        try [Float](unsafeUninitializedCapacity: total) { buffer, filled in
          try body(buffer.baseAddress, counts, places)
          filled = total
        }
      }
    }

    private func withRuns<Result>(
      _ lengths: [Int], _ body: (_ counts: UnsafePointer<Int32>, _ places: UnsafePointer<Int32>) throws -> Result
    ) throws -> Result {
      guard lengths.reduce(0, +) <= Int(Int32.max) else {
        throw CollectiveError.failed(
          rank: rank, "\(lengths.reduce(0, +)) numbers at once are more than MPI counts; take fewer parts")
      }
      let places = lengths.indices.map { Int32(lengths[..<$0].reduce(0, +)) }
      return try lengths.map(Int32.init).withUnsafeBufferPointer { counts in
        try places.withUnsafeBufferPointer { try body(counts.baseAddress!, $0.baseAddress!) }
      }
    }
  }
#endif
