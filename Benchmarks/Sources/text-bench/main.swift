// Reads a file of labelled texts: finds its rows, goes through all of them, and takes some at random.
//
//     text-bench FILE        prints rows, classes, bytes of text and the seconds of each part, as JSON
import Foundation
import LoRAKit
import Measuring

let file = URL(fileURLWithPath: CommandLine.arguments[1])
var data: LabelledText!
let finding = try seconds { data = try LabelledText(contentsOf: file) }
var bytes = 0
let passing = try seconds { try data.forEachPart { texts, _ in for text in texts { bytes += text.utf8.count } } }
var batches = ShuffledBatches(count: data.count, batchSize: 32, seed: 0)
let taken = 300
let taking = try seconds { for _ in 0..<taken { _ = try data.texts(at: batches.next()) } }
print(
  """
  {"rows": \(data.count), "classes": \(data.labelNames.count), "bytes": \(bytes), "finding": \(finding), \
  "passing": \(passing), "batch": \(taking / Double(taken))}
  """)
