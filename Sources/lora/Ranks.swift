// The processes that a launcher has started together: mpirun, mpiexec, srun.

import ArgumentParser
import Foundation
import LoRAKit

/// A command whose work the ranks share. Of every other one rank 0 does all, and the rest nothing.
protocol RankedCommand: ParsableCommand {}

/// The ranks of this program. Rank 0 alone prints and writes; another is heard only where it fails by itself.
enum Ranks {
  /// What a launcher says of this process; nil where nobody else was started with it.
  static let launched: (rank: Int, count: Int)? = {
    let environment = ProcessInfo.processInfo.environment
    // Open MPI; what PMIx starts under Slurm; MPICH, and Slurm with PMI.
    for (rank, count) in [
      ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMIX_RANK", "SLURM_NTASKS"), ("PMI_RANK", "PMI_SIZE"),
    ] {
      if let rank = environment[rank].flatMap(Int.init), let count = environment[count].flatMap(Int.init), count > 1 {
        return (rank, count)
      }
    }
    return nil
  }()

  /// Whether this process does what is not shared.
  static var isFirst: Bool { launched?.rank ?? 0 == 0 }

  /// Standard error as it was before the others were silenced.
  nonisolated(unsafe) private static var errors = STDERR_FILENO

  /// To be called first. What a rank other than 0 prints goes nowhere from here on.
  static func begin() {
    guard let launched, launched.rank > 0 else { return }
    errors = dup(STDERR_FILENO)
    let nowhere = open("/dev/null", O_WRONLY)
    dup2(nowhere, STDOUT_FILENO)
    dup2(nowhere, STDERR_FILENO)
    close(nowhere)
  }

  /// Whether this process has a part in a command.
  static func works(on command: any ParsableCommand) -> Bool {
    guard let launched, !(command is any RankedCommand) else { return true }
    if launched.rank == 0 {
      StandardError.write("\(launched.count) processes were started; one does all of this command.\n")
    }
    return launched.rank == 0
  }

  #if MPI
    nonisolated(unsafe) private static var current: MPIRanks?
  #endif

  /// All ranks, joined at the first call.
  ///
  /// - Throws: where the program is built without MPI, or MPI fails.
  static func joined() throws -> any Collective {
    guard let launched else { return OneProcess() }
    #if MPI
      if let current { return current }
      let ranks = try MPIRanks()
      guard ranks.count == launched.count else {
        throw InputError(
          "\(launched.count) processes were started, and MPI knows \(ranks.count): it is another MPI's mpirun; take that of "
            + "the one that this program is built with")
      }
      current = ranks
      try shareProcessors(of: ranks)
      return ranks
    #else
      throw InputError(
        "\(launched.count) processes were started to work together, and this program is built without MPI; build it with "
          + "make build MPI=1")
    #endif
  }

  /// Tells a rank that waits for others whether it is asked to end.
  static func listen(to isAskedToEnd: @escaping () -> Bool) {
    #if MPI
      current?.isAskedToEnd = isAskedToEnd
    #endif
  }

  /// Ends a process that has failed, and with it all others.
  static func fail(_ error: any Error, _ code: Int32, _ message: String) -> Never {
    if error is ExitCode {
      // All stop alike, and what there was to say has been said.
      end()
    } else {
      if let launched, launched.rank > 0 {
        // Where all have failed alike, rank 0 says so, once, and ends the others.
        if !(error is AbandonedRun) { sleep(3) }
        _ = writeAll("rank \(launched.rank) of \(launched.count): \(message)\n".utf8, to: errors)
      } else {
        StandardError.write(message + "\n")
      }
      #if MPI
        // Who was left alone leaves it to what started the ranks, which knows more.
        if !(error is AbandonedRun) { current?.endAll(code) }
      #endif
    }
    Foundation.exit(code)
  }

  /// Leaves the others where all is done: asleep until rank 0 has written what it has to, since MPI itself waits awake.
  static func end() {
    #if MPI
      try? current?.barrier()
      current?.leave()
    #endif
  }

  #if MPI
    /// Ranks that may run on the same processors of a machine share them: none computes with more than its share.
    private static func shareProcessors(of ranks: MPIRanks) throws {
      var digest = WordDigest()
      digest.add(ProcessInfo.processInfo.hostName.utf8)
      // Where there is no such file, a machine's ranks may all run on all of its processors.
      let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
      for line in status.split(separator: "\n") where line.hasPrefix("Cpus_allowed:") { digest.add(line.utf8) }
      let place = digest.numbers
      let all = try ranks.gather(place, counts: Array(repeating: place.count, count: ranks.count))
      let sharing = (0..<ranks.count).count { all[place.count * $0..<place.count * ($0 + 1)].elementsEqual(place) }
      Threads.count = max(1, Threads.count / sharing)
    }
  #endif
}

extension Collective {
  /// The same processes, for the toolbox, which knows nothing of training.
  var sharing: Sharing { Sharing(rank: rank, count: count, broadcast: broadcast, collect: collect) }
}
