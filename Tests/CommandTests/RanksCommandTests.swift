// What several processes that were started together do, in a program that is built without MPI. Tests/MPI has those with it.
import Foundation
import TestSupport
import Testing

@Suite("Ranks on the command line")
struct RanksCommandTests {
  private static func launched(_ rank: Int) -> [String: String] {
    ["OMPI_COMM_WORLD_RANK": "\(rank)", "OMPI_COMM_WORLD_SIZE": "3"]
  }

  @Test("a command that ranks have no part in runs once, whatever has started them")
  func once() throws {
    let adapter = fixtures.appendingPathComponent("checkpoints/llama-rslora-patterns/adapter").path
    let first = try CommandRun(["inspect", adapter], environment: Self.launched(0))
    #expect(first.exitCode == 0 && first.output.contains("rsLoRA"))
    #expect(first.errors.hasPrefix("3 processes were started; one does all of this command.\n"))
    for names in [
      ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"], ["PMI_RANK", "PMI_SIZE"], ["PMIX_RANK", "SLURM_NTASKS"],
    ] {
      let other = try CommandRun(["inspect", adapter], environment: [names[0]: "2", names[1]: "3"])
      #expect(other.exitCode == 0 && other.output.isEmpty && other.errors.isEmpty)
    }
    let one = try CommandRun(["inspect", adapter], environment: ["PMI_RANK": "0", "PMI_SIZE": "1"])
    #expect(one.exitCode == 0 && !one.errors.contains("processes"))
  }

  #if !MPI
    @Test("a training says that it needs MPI, and nothing is written")
    func needed() throws {
      let place = try Workplace()
      let run = try CommandRun(
        ["train", "classify", "--model", place.encoder, "--data", place.train, "-o", place.path("out")],
        environment: Self.launched(0))
      #expect(run.exitCode == 1)
      #expect(
        run.errors.contains(
          "3 processes were started to work together, and this program is built without MPI; build it with make build MPI=1"
        ))
      #expect(!place.folder.names.contains("out"))
    }
  #endif

  @Test("one process has nobody to meet")
  func alone() throws {
    let place = try Workplace()
    let run = try CommandRun(
      ["train", "lm", "--model", place.decoder, "--data", place.story, "--sync-every", "5", "-o", place.path("out")])
    #expect(run.exitCode == 64 && run.errors.contains("there is one process, which meets nobody"))
  }
}
