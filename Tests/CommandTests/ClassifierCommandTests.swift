// The commands around a classifier: long texts, what changed against the base, an interruption, and bad input of every
// kind, on a small encoder with random weights.
import Foundation
import TestSupport
import Testing

/// A short training that every test can afford.
private func training(_ place: Workplace, _ more: String...) -> [String] {
  ["train", "classify", "--model", place.encoder, "--data", place.train, "--steps", "20", "--learning-rate", "2e-2"]
    + ["--batch-size", "16", "--targets", "all-linear", "-o", place.path("out")] + more
}

private func write(_ text: String, _ place: Workplace, _ name: String) throws -> String {
  try Data(text.utf8).write(to: place.folder.file(name))
  return place.path(name)
}

@Suite("Classifiers on the command line")
struct ClassifierCommandTests {
  // MARK: Long texts

  @Test("--long-texts windows reads all of a long text, in training and after it, and says in how many windows")
  func windows() throws {
    let place = try Workplace()
    let filler = String(repeating: "the quick brown lazy word ", count: 4)
    let rows = (0..<32).map { $0 % 2 == 0 ? "\(filler)fox\tfox\n" : "\(filler)dog\tdog\n" }.joined()
    let data = try write("text\tlabel\n" + rows, place, "long.tsv")
    let reading = ["--length", "16", "--long-texts", "windows"]
    let train = ["train", "classify", "--model", place.encoder, "--data", data, "--eval", data, "--epochs", "20"]
    let options = ["--batch-size", "16", "--targets", "all-linear", "--learning-rate", "2e-2"]
    let run = try succeed(train + options + reading + ["-o", place.path("out"), "--json", place.path("t.json")])
    // 21 own tokens; windows of 14, each 11 after the one before.
    #expect(run.errors.contains("32 of 32 texts were longer than 16 tokens and were read in 64 windows."))
    // What tells the classes apart lies at the end alone.
    #expect(try #require(try object(place.path("t.json"))["accuracy"] as? Double) == 1)
    let use = ["--model", place.encoder, "--adapter", place.path("out")]
    for (more, expected) in [(reading, 1.0), (["--length", "16"], 0.5)] {
      let run = try succeed(["evaluate", "--data", data, "--json", place.path("e.json")] + use + more)
      #expect(try object(place.path("e.json"))["accuracy"] as? Double == expected, "\(run.output)")
      #expect(run.errors.contains(expected == 1 ? "64 windows" : "were cut; --long-texts windows reads all of them"))
    }
    #expect(try succeed(["classify", "\(filler)fox"] + use + reading).output.hasPrefix("fox\t"))
    #expect(try succeed(["classify", "\(filler)dog"] + use + reading).output.hasPrefix("dog\t"))
    let embed = try succeed(["embed", "\(filler)fox", "--model", place.encoder] + reading)
    #expect(embed.errors.contains("1 of 1 text was longer than 16 tokens and was read in 2 windows."))
  }

  // MARK: Decoders

  @Test(
    "a decoder learns classes: its adapter has the score layer, and evaluate, classify and logits take it as a classifier"
  )
  func decoder() throws {
    let place = try Workplace()
    // What tells the classes apart is the last word, at whose token a decoder is read.
    let words = ["the", "quick", "brown", "lazy", "word", "reader", "and", "over"]
    let rows = (0..<64).map { index in
      let animal = index % 2 == 0 ? "fox" : "dog"
      return "\(words[index * 7 % 8]) \(words[(index * 7 + 3) % 8]) \(animal)\t\(animal)\n"
    }
    let data = try write("text\tlabel\n" + rows.joined(), place, "last.tsv")
    let train = ["train", "classify", "--model", place.decoder, "--data", data, "--eval", data]
    _ = try succeed(
      train + ["--steps", "60", "--learning-rate", "2e-2", "--batch-size", "16", "--targets", "all-linear"]
        + ["-o", place.path("out")])
    let adapter = try String(contentsOfFile: place.path("out/adapter_config.json"), encoding: .utf8)
    #expect(adapter.contains("\"SEQ_CLS\"") && adapter.contains("\"score\"") && adapter.contains("q_proj"))
    let use = ["--model", place.decoder, "--adapter", place.path("out")]
    _ = try succeed(["evaluate", "--data", data, "--json", place.path("e.json")] + use)
    #expect(try #require(try object(place.path("e.json"))["accuracy"] as? Double) > 0.9)
    let logits = try succeed(["logits", "--text", "the fox", "--json", place.path("l.json")] + use)
    #expect(logits.output.contains("All of 2 logits"))
    let labels = try JSONDecoder().decode(
      [String].self, from: Data(contentsOf: URL(fileURLWithPath: place.path("out/labels.json"))))
    let classified = try succeed(["classify", "the fox", "--top", "2"] + use).output
    #expect(labels.allSatisfy(classified.contains))
    // Without the adapter it is a language model.
    #expect(try succeed(["logits", "--ids", "1,2", "--model", place.decoder]).output.contains("of 464 logits"))
    #expect(try succeed(["embed", "the fox", "--model", place.decoder]).errors.contains("has no modules.json"))
  }

  @Test("pairs are read as one text: the order of the two counts")
  func pairs() throws {
    let place = try Workplace()
    _ = try succeed(training(place))
    let use = ["--model", place.encoder, "--adapter", place.path("out"), "--json", place.path("c.json")]
    func probabilities(_ more: String...) throws -> String {
      _ = try succeed(["classify"] + more + use)
      return "\(try object(place.path("c.json"))["results"]!)"
    }
    let pair = try probabilities("--query", "the fox", "a dog")
    #expect(try pair != probabilities("--query", "a dog", "the fox"))
    #expect(try pair != probabilities("a dog"))
  }

  // MARK: Against the base

  @Test("an encoder's base answers by the nearest class mean; the report shows what training mended and broke")
  func againstTheEncoder() throws {
    let place = try Workplace()
    let run = try succeed(
      training(place, "--eval", place.test, "--json", place.path("t.json"), "--report", place.path("r.html")))
    let summary = try object(place.path("t.json"))
    let (base, accuracy) = (
      try #require(summary["base_accuracy"] as? Double), try #require(summary["accuracy"] as? Double)
    )
    #expect(run.output.contains("accuracy of the base  \(String(format: "%.2f", 100 * base))%"))
    let (mended, new) = (
      try #require(summary["mended_errors"] as? Int), try #require(summary["new_errors"] as? Int)
    )
    #expect(abs(accuracy - base - Double(mended - new) / 16) < 1e-9)
    #expect(base > 0.5)
    let report = try String(contentsOfFile: place.path("r.html"), encoding: .utf8)
    for text in [
      "Against the base", "nearest by cosine", "at most 64 training texts", "errors mended", "before", "after",
    ] {
      #expect(report.contains(text), "\(text)")
    }
  }

  @Test("a base with a classifier for the same classes is compared with itself, adapter off; two adapters side by side")
  func againstTheClassifier() throws {
    let place = try Workplace()
    // A base that has learnt a little, as a model folder.
    _ = try succeed([
      "train", "classify", "--model", place.encoder, "--data", place.train, "--steps", "3", "--full", "-o",
      place.path("base"), "--quiet",
    ])
    let data = ["--data", place.test, "--json", place.path("e.json")]
    _ = try succeed(["evaluate", "--model", place.path("base")] + data)
    let base = try #require(try object(place.path("e.json"))["accuracy"] as? Double)
    #expect(try object(place.path("e.json"))["base_accuracy"] == nil)
    let train = ["train", "classify", "--model", place.path("base"), "--data", place.train, "--eval", place.test]
    let run = try succeed(
      train + ["--targets", "all-linear", "--learning-rate", "2e-2", "--steps", "40", "--method", "pissa"] + [
        "-o", place.path("new"), "--json", place.path("t.json"), "--report", place.path("r.html"),
      ])
    #expect(try object(place.path("t.json"))["base_accuracy"] as? Double == base, "\(run.output)")
    #expect(
      try String(contentsOfFile: place.path("r.html"), encoding: .utf8).contains(
        "own classifier before the training"))
    _ = try succeed(train + ["--steps", "1", "-o", place.path("old"), "--quiet"])

    let use = ["evaluate", "--model", place.path("base"), "--adapter", place.path("new")] + data
    _ = try succeed(use)
    let evaluation = try object(place.path("e.json"))
    #expect(evaluation["base_accuracy"] as? Double == base)
    let accuracy = try #require(evaluation["accuracy"] as? Double)
    _ = try succeed(["evaluate", "--model", place.path("base"), "--adapter", place.path("old")] + data)
    let old = try #require(try object(place.path("e.json"))["accuracy"] as? Double)
    let compared = try succeed(use + ["--against", place.path("old"), "--report", place.path("r.html")])
    let comparison = try object(place.path("e.json"))
    #expect(comparison["against_accuracy"] as? Double == old && comparison["accuracy"] as? Double == accuracy)
    #expect(comparison["base_accuracy"] == nil && compared.output.contains("accuracy of the adapter "))
    #expect(try String(contentsOfFile: place.path("r.html"), encoding: .utf8).contains("Against the adapter"))
    // Answers are compared by the names of the classes, in whatever order an adapter has them.
    let labels = place.folder.file("old/labels.json")
    try Data("[\"fox\", \"dog\"]".utf8).write(to: labels)
    _ = try succeed(use + ["--against", place.path("old")])
    #expect(try object(place.path("e.json"))["against_accuracy"] as? Double == 1 - old)
    try Data("[\"cat\", \"dog\"]".utf8).write(to: labels)
    let other = try CommandRun(use + ["--against", place.path("old")])
    #expect(other.exitCode == 1 && other.errors.contains("knows the classes cat, dog; to be compared"))
  }

  // MARK: Resuming

  @Test("metrics and report of a resumed run are those of the whole run")
  func resumedMetrics() throws {
    let place = try Workplace()
    let state = place.folder.file("state.safetensors")
    let arguments = [
      "train", "classify", "--model", place.encoder, "--data", place.train, "--eval", place.test, "--steps", "900",
      "--evaluate-every", "50", "--patience", "4", "--batch-size", "16", "--dropout", "0.1", "--learning-rate", "1e-4",
    ]
    _ = try succeed(arguments + ["-o", place.path("whole"), "--report", place.path("whole.html")])
    let interrupted = try CommandRun(arguments + ["-o", place.path("none"), "--checkpoint", state.path]) { process in
      for _ in 0..<4000 where !FileManager.default.fileExists(atPath: state.path) && process.isRunning { usleep(2000) }
      process.interrupt()
    }
    try #require(interrupted.exitCode == 130, "\(interrupted.errors)")
    _ = try succeed(
      arguments + ["-o", place.path("resumed"), "--resume", state.path, "--report", place.path("resumed.html")])
    func metrics(_ name: String) throws -> [NSDictionary] {
      try String(contentsOfFile: place.path("\(name)/metrics.jsonl"), encoding: .utf8).split(separator: "\n").map {
        var fields = try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        fields["seconds"] = nil
        return fields as NSDictionary
      }
    }
    let whole = try metrics("whole")
    let resumed = try metrics("resumed")
    #expect(whole.count > 200 && whole == resumed)
    // An evaluation stands after its step.
    for (index, line) in whole.enumerated() where line["evaluation_score"] != nil {
      #expect(line["step"] as? Int == whole[index - 1]["step"] as? Int)
    }
    func lines(_ name: String) throws -> [String] {
      try String(contentsOfFile: place.path(name), encoding: .utf8).matches(of: /<polyline[^>]*>/).map { String($0.0) }
    }
    #expect(try lines("whole.html").count >= 2 && lines("whole.html") == lines("resumed.html"))
  }

  // MARK: Texts that hold nothing

  @Test("texts without a word are counted and named; without a token at all they are an error")
  func blankTexts() throws {
    let place = try Workplace()
    _ = try succeed(training(place))
    let use = ["--model", place.encoder, "--adapter", place.path("out")]
    let lines = try write("the fox\n\n \t\n\0\0\n🙂🙂\n漢字\n\(String(repeating: "x", count: 5000))\n", place, "lines.txt")
    let run = try succeed(["classify", "--file", lines] + use)
    // One answer for each line, and two of the three blank ones hold nothing but what the tokenizer drops.
    #expect(run.output.split(separator: "\n", omittingEmptySubsequences: false).count == 8)
    #expect(run.errors.contains("3 of 7 texts hold nothing to read (\(lines): lines 2, 3, 4)"), "\(run.errors)")
    #expect(try succeed(["embed", "--model", place.encoder, "", "a fox"]).errors.contains("(text 1)"))
    let data = try write("text\tlabel\n\tfox\nthe dog\tdog\n  \tfox\n", place, "blank.tsv")
    let train = ["train", "classify", "--model", place.encoder, "--data", data, "--steps", "1", "-o", place.path("o")]
    #expect(try succeed(train).errors.contains("2 of 3 texts hold nothing to read (\(data): lines 2, 4)"))

    // A tokenizer that adds no special tokens finds no token in them.
    let tokenizer = place.folder.file("encoder/tokenizer.json")
    var json = try #require(
      try JSONSerialization.jsonObject(with: Data(contentsOf: tokenizer)) as? [String: Any])
    json["post_processor"] = NSNull()
    try JSONSerialization.data(withJSONObject: json).write(to: tokenizer)
    let before = place.folder.names
    for (arguments, place) in [
      (["classify", "--file", lines] + use, "lines.txt: lines 2, 3, 4"),
      (["embed", "--model", place.encoder, "a fox", ""], "text 2"), (train + ["--force"], "blank.tsv: lines 2, 4"),
      (["evaluate", "--data", data] + use, "blank.tsv: lines 2, 4"),
    ] {
      let run = try CommandRun(arguments)
      #expect(
        run.exitCode == 1 && run.errors.contains("\(place): the tokenizer finds no token there"), "\(run.errors)")
    }
    #expect(place.folder.names == before)
    #expect(try succeed(["classify", "a fox"] + use).output.isEmpty == false)
  }

  // MARK: Many texts

  @Test("a file of many texts is answered line by line, in its order, in print as in JSON; a page shows the first")
  func manyTexts() throws {
    let place = try Workplace()
    _ = try succeed(training(place))
    let use = ["--model", place.encoder, "--adapter", place.path("out")]
    let texts = (0..<20_000).map { $0 % 1000 == 7 ? "" : "the \($0 % 3 == 0 ? "fox" : "dog") \($0)" }
    let file = try write(texts.joined(separator: "\n") + "\n", place, "many.txt")
    let options = ["--file", file, "--json", place.path("j.json"), "--report", place.path("r.html"), "--quiet"]
    let run = try succeed(["classify"] + options + use)
    let lines = run.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    #expect(lines.count == texts.count && zip(lines, texts).allSatisfy { $0.hasSuffix("\t\($1)") })
    let json = try object(place.path("j.json"))
    let results = try #require(json["results"] as? [[String: Any]])
    #expect(results.map { $0["text"] as? String } == texts && (json["labels"] as? [String])?.count == 2)
    #expect(zip(results, lines).allSatisfy { $1.hasPrefix("\($0["label"] as? String ?? "?")\t") })
    let page = try String(contentsOfFile: place.path("r.html"), encoding: .utf8)
    #expect(page.contains("The first 1,000 of 20,000 texts.") && !page.contains("dog 19999"))
    // A piped one, and one that gzip has packed, are no others.
    let piped = try CommandRun(["classify", "--quiet"] + use, piping: URL(fileURLWithPath: file))
    #expect(piped.output == run.output)

    let embedded = try succeed(["embed"] + options + use)
    let vectors = try object(place.path("j.json"))
    #expect(vectors["texts"] as? [String] == texts)
    let first = try #require((vectors["embeddings"] as? [[Double]])?.last)
    let last = try #require(embedded.output.split(separator: "\n").last)
    #expect(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [Double] == first)
    #expect(embedded.output.count { $0 == "\n" } == texts.count)
    let cosines = try write(String(repeating: "a\n", count: 20_001), place, "cosines.txt")
    let refused = try CommandRun(["embed", "--cosines", "--file", cosines] + use)
    #expect(refused.exitCode == 1 && refused.errors.contains("at most 20,000 texts") && refused.output.isEmpty)
  }

  @Test("what is called a table is read as one: its column of texts, and never its lines")
  func tableOfTexts() throws {
    let place = try Workplace()
    _ = try succeed(training(place))
    let use = ["--model", place.encoder, "--adapter", place.path("out")]
    let table = try write("id,text\n1,\"the fox,\nand more\"\n2,the dog\n", place, "table.csv")
    let found = try succeed(["classify", "--file", table] + use)
    #expect(found.errors.contains("table.csv: 2 texts; text from “text”"), "\(found.errors)")
    #expect(found.output.split(separator: "\n").last?.hasSuffix("\tthe dog") == true)
    let embedded = try succeed(["embed", "--file", table] + use)
    #expect(embedded.output.split(separator: "\n").count == 2)
    // Bare lines under such a name, and pairs where one text is meant, are asked about.
    let lines = try write("the fox\nthe dog\n", place, "lines.csv")
    let bare = try CommandRun(["classify", "--file", lines] + use)
    #expect(bare.exitCode == 1 && bare.errors.contains("may name the columns or be an example"), "\(bare.errors)")
    #expect(try succeed(["classify", "--file", lines, "--no-header"] + use).output.split(separator: "\n").count == 2)
    let pairs = try write("premise,hypothesis\na,b\n", place, "pairs.csv")
    for arguments in [["embed"], ["classify", "--query", "x"]] {
      let run = try CommandRun(arguments + ["--file", pairs] + use)
      #expect(run.exitCode == 1 && run.errors.contains("holds pairs of texts"), "\(run.errors)")
    }
  }

  @Test("training in 8 bits is refused before anything is read or written")
  func trainingInBytes() throws {
    let place = try Workplace()
    let before = place.folder.names
    for task in ["classify", "lm"] {
      let run = try CommandRun([
        "train", task, "--model", place.encoder, "--data", place.path("none"), "--precision", "int8", "-o",
        place.path("out"),
      ])
      #expect(run.exitCode == 64 && run.output.isEmpty)
      #expect(
        run.errors.contains("--precision int8 is for reading and writing text; training takes f32 or bf16."),
        "\(run.errors)")
    }
    #expect(place.folder.names == before)
  }

  // MARK: What is learnt

  @Test("the columns and three rows are shown; pairs are learnt, evaluated and classified as pairs")
  func pairsOfColumns() throws {
    let place = try Workplace()
    // Whether both halves name the same animal.
    let rows = (0..<64).map { index in
      let (first, second) = (index % 2 == 0 ? "fox" : "dog", index / 2 % 2 == 0 ? "fox" : "dog")
      return "\(index)\tthe quick \(first)\tthe lazy \(second)\t\(first == second ? "same" : "other")\n"
    }
    let data = try write("index\tpremise\thypothesis\tlabel\n" + rows.joined(), place, "pairs.tsv")
    let run = try succeed([
      "train", "classify", "--model", place.encoder, "--data", data, "--eval", data, "--steps", "2", "-o",
      place.path("out"), "--report", place.path("r.html"),
    ])
    #expect(
      run.errors.contains(
        "64 pairs of texts in 2 classes (other, same); pairs of texts from “premise” and “hypothesis”, label from “label”"
      ))
    #expect(run.errors.contains("  the quick fox | the lazy fox | same\n"), "\(run.errors)")
    #expect(try String(contentsOfFile: place.path("r.html"), encoding: .utf8).contains("The first rows of"))
    let use = ["--model", place.encoder, "--adapter", place.path("out")]
    let evaluated = try succeed(["evaluate", "--data", data, "--json", place.path("e.json")] + use)
    #expect(evaluated.output.contains("macro F1") && evaluated.output.contains("→ same"), "\(evaluated.output)")
    let summary = try object(place.path("e.json"))
    let confusion = try #require(summary["confusion"] as? [[Int]])
    #expect(
      confusion.joined().reduce(0, +) == 64 && summary["macro_f1"] is Double
        && (summary["classes"] as? [Any])?.count == 2)
    let named = try succeed(["classify", "--file", data, "--text-column", "premise,hypothesis"] + use)
    let asked = try succeed(["classify", "--query", "the quick fox", "the lazy fox", "the lazy dog"] + use)
    let unnamed = try CommandRun(["classify", "--file", data, "--text-column", "claim"] + use)
    #expect(
      unnamed.exitCode == 1 && unnamed.errors.contains("--text-column") && !unnamed.errors.contains("--label-column"),
      "\(unnamed.errors)")
    // The same pair gets the same answer either way.
    let (first, third) = (named.output.split(separator: "\n")[0], named.output.split(separator: "\n")[2])
    let answers = asked.output.split(separator: "\n").map { $0.split(separator: "\t").prefix(2) }
    #expect(
      first.split(separator: "\t").prefix(2) == answers[0] && third.split(separator: "\t").prefix(2) == answers[1])
  }

  @Test("numbers are learnt as a regression, lists as several labels, and the adapter says so; classes can be weighed")
  func problems() throws {
    let place = try Workplace()
    let scores = (0..<48).map {
      "the \($0 % 3 == 0 ? "fox" : "dog") \($0 % 2 == 0 ? "quick" : "lazy"),\(Double($0 % 3) + 0.5)\n"
    }
    let regression = try write("text,score\n" + scores.joined(), place, "scores.csv")
    let tags = (0..<48).map {
      "{\"text\": \"the \($0 % 2 == 0 ? "fox" : "dog")\", \"labels\": [\($0 % 2 == 0 ? "\"red\"" : "\"grey\", \"loud\"")]}\n"
    }
    let sets = try write(tags.joined(), place, "tags.jsonl")
    for (data, name, numbers) in [
      (regression, "regression", ["pearson", "spearman", "mean_squared_error"]),
      (sets, "multi_label_classification", ["micro_f1", "macro_f1", "exact"]),
    ] {
      let train = ["train", "classify", "--model", place.encoder, "--data", data, "--eval", data, "--force"]
      _ = try succeed(train + ["--steps", "40", "--learning-rate", "1e-2", "-o", place.path("out")])
      let labels = try object(place.path("out/labels.json"))
      #expect(labels["problem_type"] as? String == name && labels["id2label"] is [String: String])
      let use = ["--model", place.encoder, "--adapter", place.path("out")]
      _ = try succeed(["evaluate", "--data", data, "--json", place.path("e.json")] + use)
      let found = try object(place.path("e.json"))
      for number in numbers { #expect(found[number] is Double, "\(found)") }
      if name == "regression" {
        let answer = try succeed(["classify", "the fox"] + use).output.split(separator: "\t")
        #expect(answer.first == "score" && Double(answer[1].dropLast()) != nil)
      } else {
        #expect(found["micro_f1"] as? Double == 1)
        #expect(try succeed(["classify", "the dog"] + use).output.contains("loud"))
      }
      // A whole model says it in its configuration.
      _ = try succeed(train + ["--steps", "1", "--full", "-o", place.path("whole")])
      #expect(try object(place.path("whole/config.json"))["problem_type"] as? String == name)
      _ = try succeed(["evaluate", "--data", data, "--model", place.path("whole")])
    }
    _ = try succeed(training(place, "--force", "--class-weights", "balanced", "--alpha", "0.7", "--dropout", "0.1"))
    let written = try String(contentsOfFile: place.path("out/adapter_config.json"), encoding: .utf8)
    #expect(written.contains("\"lora_alpha\": 0.7,") && written.contains("\"lora_dropout\": 0.1,"), "\(written)")
    let unread = try CommandRun(training(place, "--force", "--class-weights", "1,x,2"))
    #expect(unread.exitCode == 1 && unread.errors.contains("balanced, or 2 positive numbers"))
    let wrong = try CommandRun(training(place, "--force", "--class-weights", "1,2,3"))
    #expect(wrong.exitCode == 1 && wrong.errors.contains("expected balanced, or 2 positive numbers, for dog, fox"))
  }

  // MARK: Bad input

  @Test(
    "a model folder that lacks something, or holds something else, is an error that says what",
    arguments: [
      ("no config", "has no config.json"), ("no weights", "holds no weights"),
      ("no tokenizer", "tokenizer.json: is not there"),
      ("architecture", "model_type is \"deberta\", which is not supported"),
      ("shape", "has shape [48, 32], expected [40, 32]"), ("damaged config", "expected valid JSON"),
      ("damaged weights", "expected a valid safetensors file"),
    ])
  func models(damage: String, expected: String) throws {
    let place = try Workplace()
    let folder = place.folder.file("encoder")
    let (config, weights) = (
      folder.appendingPathComponent("config.json"), folder.appendingPathComponent("model.safetensors")
    )
    func edit(_ old: String, _ new: String) throws {
      let text = try String(contentsOf: config, encoding: .utf8)
      try #require(text.contains(old))
      try text.replacingOccurrences(of: old, with: new).write(to: config, atomically: true, encoding: .utf8)
    }
    switch damage {
    case "no config": try FileManager.default.removeItem(at: config)
    case "no weights": try FileManager.default.removeItem(at: weights)
    case "no tokenizer": try FileManager.default.removeItem(at: folder.appendingPathComponent("tokenizer.json"))
    case "architecture": try edit("\"model_type\": \"bert\"", "\"model_type\": \"deberta\"")
    case "shape": try edit("\"intermediate_size\": 48", "\"intermediate_size\": 40")
    case "damaged config": try Data("{".utf8).write(to: config)
    default: try Data(contentsOf: weights).prefix(3000).write(to: weights)
    }
    let before = place.folder.names
    for arguments in [training(place), ["embed", "--model", place.encoder, "a fox"]] {
      let run = try CommandRun(arguments)
      #expect(run.exitCode == 1 && run.errors.contains(expected) && run.errors.contains("encoder"), "\(run.errors)")
    }
    #expect(place.folder.names == before)
  }

  @Test("data that can't be learnt from are named with their lines, before anything is trained or written")
  func data() throws {
    let place = try Workplace()
    let cases = [
      ("empty.tsv", "", "found no rows"), ("blank.csv", "\n\n", "found no rows"), ("empty.jsonl", "", "found no rows"),
      ("header.tsv", "text\tlabel\n", "found no rows"),
      ("nolabel.tsv", "text\tlabel\na\tx\nb\t\nc\t \n", "found no label in lines 3, 4"),
      ("columns.tsv", "foo\tbar\tbaz\na\tb\tc\n", "found the columns foo, bar, baz"),
      ("short.tsv", "text\tlabel\na\tx\nb\n", "found 1 field in line 3"),
      ("quote.csv", "text,label\n\"a,x\nb,y\n", "a quote in line 2 that never ends"),
      ("null.jsonl", "{\"text\":\"a\",\"label\":null}\n", "found null under \"label\" in line 1"),
      ("other.jsonl", "{\"text\":\"a\",\"label\":\"x\"}\nb\n", "found 'b') in line 2"),
      ("one.tsv", "text\tlabel\na\tx\nb\tx\n", "found the label “x” on every text"),
      ("data.txt", "no columns\nat all\n", "found the extension \"txt\""),
      (
        "unseen.tsv", "text\tlabel\nthe fox\tcat\na\tcow\nb\tcat\nc\tfox\n",
        "found label \"cat\" in lines 2, 4, label \"cow\" in line 3, expected one of dog, fox"
      ),
    ]
    for (name, content, expected) in cases {
      let path = try write(content, place, name)
      let before = place.folder.names
      let run =
        name == "unseen.tsv"
        ? try CommandRun(training(place, "--eval", path))
        : try CommandRun(["train", "classify", "--model", place.encoder, "--data", path, "-o", place.path("out")])
      #expect(run.exitCode == 1 && run.errors.contains(expected) && run.errors.contains(name), "\(name): \(run.errors)")
      #expect(place.folder.names == before)
    }
    try Data("text\tlabel\nthe f".utf8 + [0xFF] + "x\tx\n".utf8).write(to: place.folder.file("bytes.tsv"))
    let bytes = try CommandRun([
      "train", "classify", "--model", place.encoder, "--data", place.path("bytes.tsv"), "-o", place.path("out"),
    ])
    #expect(bytes.exitCode == 1 && bytes.errors.contains("not UTF-8 in line 2"))
    let position = try CommandRun(training(place, "--text-column=-1"))
    #expect(position.exitCode == 1 && position.errors.contains("expected a column \"-1\""))
  }

  @Test("what can't be written is noticed before the training; what fills the disk leaves nothing")
  func outputs() throws {
    let place = try Workplace()
    let file = try write("", place, "file")
    let cases: [([String], String)] = [
      (["-o", file], "is a file; name a folder to write"), (["-o", "\(file)/x"], "is a file; name a folder to write"),
      (["--report", place.path("no/r.html"), "--eval", place.test], "there is no folder"),
      (["--json", place.path("no/r.json")], "there is no folder"), (["--json", place.folder.url.path], "is a folder"),
      (["--checkpoint", place.path("no/state")], "there is no folder"),
      (["--eval", place.path("none.csv")], "none.csv: found no such file"),
      (["--resume", place.path("none")], "none: can't be opened"),
    ]
    let before = place.folder.names
    for (more, expected) in cases {
      let run = try CommandRun(training(place) + more)
      #expect(run.exitCode == 1 && run.errors.contains(expected), "\(more): \(run.errors)")
      #expect(!run.errors.contains("training ["), "noticed too late: \(run.errors)")
      #expect(place.folder.names == before)
    }
    let full = try CommandRun([
      "train", "classify", "--model", place.encoder, "--data", place.train, "--full", "-o", place.encoder,
    ])
    #expect(full.exitCode == 1 && full.errors.contains("is the model that is read"))
    if FileManager.default.fileExists(atPath: "/dev/full") {
      let run = try CommandRun(training(place, "--json", "/dev/full"))
      #expect(run.exitCode == 1 && run.errors.contains("/dev/full: can't be written"), "\(run.errors)")
    }
  }

  @Test(
    "options that no run can have are wrong usage",
    arguments: [
      ["--steps", "0"], ["--learning-rate", "nan"], ["--learning-rate", "inf"], ["--epochs", "0"],
      ["--epochs", "1e30"],
      ["--batch-size", "9223372036854775807"], ["--long-texts", "fold"], ["--dropout", "nan"], ["--length", "2"],
    ])
  func usage(options: [String]) throws {
    let place = try Workplace()
    let run = try CommandRun(training(place) + options)
    #expect(run.exitCode == 64 && run.errors.contains(options[0]), "\(run.errors)")
    let file = try CommandRun(["classify", "--model", place.train, "a fox"])
    #expect(
      file.exitCode == 64
        && file.errors.contains("is a file; the folder that holds the model, or a GGUF file, is needed"))
  }

  @Test("adapters that don't belong to the model are refused with an account")
  func adapters() throws {
    let place = try Workplace()
    _ = try succeed(training(place))
    let out = place.folder.file("out")
    func refused(_ adapter: String, _ expected: String...) throws {
      let run = try CommandRun(["classify", "--model", place.encoder, "--adapter", adapter, "a fox"])
      #expect(run.exitCode == 1 && expected.allSatisfy(run.errors.contains), "\(run.errors)")
    }
    try refused(place.path("none"), "none: does not exist")
    try refused(place.encoder, "has no adapter_model.safetensors")
    // For a model of other sizes.
    let other = place.folder.file("other")
    try FileManager.default.copyItem(at: fixtures.appendingPathComponent("models/tiny-bert"), to: other)
    try FileManager.default.copyItem(
      at: place.folder.file("encoder/tokenizer.json"), to: other.appendingPathComponent("tokenizer.json"))
    let misfit = try CommandRun(["classify", "--model", other.path, "--adapter", out.path, "a fox"])
    #expect(
      misfit.exitCode == 1 && misfit.errors.contains("does not fit the model; nothing was attached")
        && misfit.errors.contains("self.query"), "\(misfit.errors)")
    // Of a decoder, on an encoder.
    let text = try write(Array(repeating: "the quick brown fox ", count: 20).joined(), place, "text.txt")
    _ = try succeed([
      "train", "lm", "--model", place.decoder, "--data", text, "--length", "8", "--steps", "1", "-o", place.path("lm"),
    ])
    try refused(place.path("lm"), "has no classifier and no labels.json")
    // Without a classifier the answers would be random.
    try FileManager.default.copyItem(
      at: out.appendingPathComponent("labels.json"), to: place.folder.file("lm/labels.json"))
    try refused(place.path("lm"), "has no classifier, and the model has none for its classes")
    try Data("[\"a\"]".utf8).write(to: out.appendingPathComponent("labels.json"))
    try refused(out.path, "expected a list of 2 class names")
    try Data("[\"a\", \"a\"]".utf8).write(to: out.appendingPathComponent("labels.json"))
    try refused(out.path, "labels.json: names a class twice")
    try Data("[\"dog\", \"fox\"]".utf8).write(to: out.appendingPathComponent("labels.json"))
    // The last number of the file is the last of a tensor.
    let weights = out.appendingPathComponent("adapter_model.safetensors")
    var bytes = try Data(contentsOf: weights)
    bytes.replaceSubrange((bytes.count - 4)..., with: [0, 0, 0xC0, 0x7F])
    try bytes.write(to: weights)
    try refused(out.path, "classifier.weight", "NaN or infinity")
    let bare = try CommandRun(["evaluate", "--model", place.encoder, "--data", place.test])
    #expect(bare.exitCode == 1 && bare.errors.contains("is a model without a classifier"))
    let decoder = try CommandRun(["evaluate", "--model", place.decoder, "--data", text, "--against", place.path("r")])
    #expect(decoder.exitCode == 1 && decoder.errors.contains("--against is about a classifier"))
  }

  /// Bytes that the system could give, where it says so.
  private static let availableMemory: Int? = {
    guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
  }()

  @Test(
    "what needs more memory than there is, is refused before it begins",
    .enabled(if: availableMemory.map { $0 < 64 << 30 } ?? false, "needs /proc/meminfo and less than 64 GB"))
  func memory() throws {
    let place = try Workplace()
    // 38 tokens a text; a token has 2 · (12 · 32 + 4 · 48) numbers kept for the gradient.
    let text = String(repeating: "the quick brown fox jumps over the lazy dog ", count: 4)
    let count = 2 * (try #require(Self.availableMemory)) / (38 * 4 * 1152)
    let data = try write(
      "text\tlabel\n" + String(repeating: "\(text)\ta\n\(text)\tb\n", count: count / 2), place, "big.tsv")
    let run = try CommandRun([
      "train", "classify", "--model", place.encoder, "--data", data, "--batch-size", "\(count)", "-o",
      place.path("out"),
    ])
    #expect(run.exitCode == 1 && run.errors.contains("MB are free: take a smaller --batch-size"), "\(run.errors)")
    #expect(!place.folder.names.contains("out"))
  }

  @Test("a run that diverges says at which step and what to do, and writes nothing", arguments: ["1e6", "1e30"])
  func divergence(rate: String) throws {
    let place = try Workplace()
    let before = place.folder.names
    let run = try CommandRun([
      "train", "classify", "--model", place.encoder, "--data", place.train, "--eval", place.test, "--evaluate-every",
      "5", "--steps", "20", "--learning-rate", rate, "--clipping", "0", "-o", place.path("out"),
    ])
    #expect(
      run.exitCode == 1 && run.errors.contains("at step") && run.errors.contains("Try a smaller one"),
      "\(run.errors)")
    #expect(place.folder.names == before)
  }
}
