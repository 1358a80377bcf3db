// `lora train --auto`: what is chosen is said, written, and followed; what is given stays.
import Foundation
import TestSupport
import Testing

@Suite("lora train --auto")
struct AutoCommandTests {
  private func run(_ arguments: [String]) throws -> CommandRun {
    let run = try CommandRun(arguments)
    try #require(run.exitCode == 0, "\(run.errors)")
    return run
  }

  /// What the report says was chosen, by setting.
  private func chosen(_ path: String) throws -> [String: (value: Any, reason: String)] {
    let rows = try #require(try object(path)["chosen"] as? [[String: Any]])
    return Dictionary(
      uniqueKeysWithValues: try rows.map {
        (try #require($0["setting"] as? String), (try #require($0["value"]), try #require($0["reason"] as? String)))
      })
  }

  @Test(
    "a classifier's settings are chosen by its data, said with their reasons before it trains, and written beside it; the adapter has the rank that was needed"
  )
  func classifier() throws {
    let place = try Workplace()
    // Three times as many rows, so that some can be kept back.
    let rows = try String(contentsOfFile: place.train, encoding: .utf8).split(separator: "\n").map(String.init)
    let text = ([rows[0]] + rows.dropFirst() + rows.dropFirst() + rows.dropFirst()).joined(separator: "\n") + "\n"
    try Data(text.utf8).write(to: place.folder.file("train.tsv"))
    let arguments = [
      "train", "classify", "--model", place.encoder, "--data", place.train, "--eval", place.train, "--auto", "--epochs",
      "20", "-o", place.path("out"), "--json", place.path("t.json"),
    ]
    let run = try run(arguments)
    for line in ["modules all-linear: ", "rank 16: ", "batch size 8: ", "epochs 20: as asked for", "learning rate 0."] {
      #expect(run.errors.contains("\n\(line)"), "\(line) in \(run.errors)")
    }
    let found = try chosen(place.path("t.json"))
    #expect(found["modules"]?.value as? String == "all-linear" && found["epochs"]?.reason == "as asked for")
    let object = try object(place.path("t.json"))
    let rates = try #require(object["rates"] as? [[String: Any]]).compactMap { $0["learning_rate"] as? Double }
    // 5e-4 · (2000/32)^0.781 = 0.0126, to two digits 0.013, and its double at least.
    #expect(rates.count > 1 && zip(rates, rates.dropFirst()).allSatisfy { abs($1 / $0 - 2) < 1e-4 })
    #expect(rates.contains { abs($0 - 0.013) < 1e-6 })
    let rate = try #require(found["learning rate"]?.value as? Double)
    #expect(rates.contains(rate))
    // The run has that rate at its height.
    let metrics = try String(contentsOfFile: place.path("out/metrics.jsonl"), encoding: .utf8)
    let highest = metrics.split(separator: "\n").compactMap {
      (try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])?["learning_rate"] as? Double
    }.max()
    #expect(abs(try #require(highest) / rate - 1) < 0.05)
    #expect(try #require(object["accuracy"] as? Double) == 1)

    // Two words decide here: less than 16 dimensions.
    let ranks = try #require(object["ranks"] as? [[String: Any]]).compactMap { $0["rank"] as? Int }
    #expect(ranks.first == 16 && ranks.count > 1)
    let written = try #require(try self.object(place.path("out/adapter_config.json"))["r"] as? Int)
    #expect(written < 16 && ranks.contains(written) && run.errors.contains("Trained at rank 16, and cut to \(written)"))
    let evaluation = try CommandRun([
      "evaluate", "--model", place.encoder, "--adapter", place.path("out"), "--data", place.train, "--json",
      place.path("e.json"),
    ])
    #expect(evaluation.exitCode == 0)
    let evaluated = try self.object(place.path("e.json"))
    #expect(evaluated["accuracy"] as? Double == 1)
    let loss = try #require(evaluated["loss"] as? Double)
    #expect(abs(loss - (try #require(object["loss"] as? Double))) < 1e-5)
    let card = try String(contentsOfFile: place.path("out/README.md"), encoding: .utf8)
    #expect(
      card.contains("## What was chosen") && card.contains("| learning rate | ") && card.contains("| cut to rank |"))

    // The same again is the same adapter.
    let weights = try Data(contentsOf: place.folder.file("out/adapter_model.safetensors"))
    _ = try self.run(arguments + ["--force", "--quiet"])
    #expect(try Data(contentsOf: place.folder.file("out/adapter_model.safetensors")) == weights)
  }

  @Test("a run that is resumed takes the rate that was found before, and tries none")
  func resumed() throws {
    let place = try Workplace()
    let arguments = [
      "train", "lm", "--model", place.decoder, "--data", place.story, "--auto", "--epochs", "40", "--length", "12",
      "-o", place.path("out"), "--force",
    ]
    let taken = "The learning rate was found before: its trials are kept with the state."
    let first = try run(arguments + ["--checkpoint", place.path("state"), "--json", place.path("first.json")])
    let second = try run(arguments + ["--resume", place.path("state"), "--json", place.path("second.json")])
    #expect(!first.errors.contains(taken) && second.errors.contains(taken))
    #expect(second.errors.contains("\nlearning rate "))
    let rates = try ["first.json", "second.json"].map {
      try #require(object(place.path($0))["rates"] as? [[String: Double]])
    }
    #expect(rates[0].count > 1 && rates[0] == rates[1])
  }

  private func object(_ path: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? [String: Any])
  }

  @Test("what is given stays, a run too short for trials goes by the rule, and --full is another thing")
  func given() throws {
    let place = try Workplace()
    let run = try run(
      ["train", "classify", "--model", place.encoder, "--data", place.train, "--auto", "--rank", "3", "--targets"]
        + ["query", "--batch-size", "6", "--steps", "5", "-o", place.path("out"), "--json", place.path("t.json")])
    let found = try chosen(place.path("t.json"))
    for setting in ["modules", "rank", "batch size", "epochs"] { #expect(found[setting]?.reason == "as asked for") }
    #expect(found["rank"]?.value as? Int == 3 && found["epochs"]?.value as? String == "5 steps")
    #expect(try #require(found["learning rate"]?.reason).hasSuffix("; the run is too short for trials"))
    #expect(run.errors.contains("\nlearning rate 0.013: "))
    #expect(try object(place.path("t.json"))["ranks"] == nil, "nothing to judge a smaller rank by")
    let full = try CommandRun([
      "train", "classify", "--model", place.encoder, "--data", place.train, "--auto", "--full", "-o", place.path("f"),
    ])
    #expect(full.exitCode == 64 && full.errors.contains("--auto chooses an adapter; leave --full out."))
  }

  @Test("a decoder's settings are chosen too, by the tokens that are learnt")
  func decoder() throws {
    let place = try Workplace()
    let run = try run(
      ["train", "lm", "--model", place.decoder, "--data", place.story, "--eval", place.story, "--length", "12"]
        + ["--auto", "-o", place.path("out"), "--json", place.path("t.json")])
    #expect(run.errors.contains("\nmodules all-linear: "))
    let found = try chosen(place.path("t.json"))
    #expect(found["batch size"]?.value as? Int == 4 && found["epochs"]?.value as? Double == 3)
    let object = try object(place.path("t.json"))
    let (before, after) = (try #require(object["base_loss"] as? Double), try #require(object["loss"] as? Double))
    #expect(after < 0.8 * before)
    #expect(object["ranks"] != nil)
  }
}
