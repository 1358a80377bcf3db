// What comes from outside and can't be known beforehand is an error that says what it is, not the end of the program.
import Foundation
import LoRAFiles
import LoRAModels
import LoRATensors
import TestSupport
import Testing

@Suite("Tokens and classes from outside")
struct DoorTests {
  @Test(
    "tokens that a model can't read are errors that name the sequence",
    arguments: [
      ([[1, 2], []], "sequence 2 of 2 has no token"), ([[1], [2, 32]], "sequence 2 of 2 holds the token 32"),
      ([[-1]], "sequence 1 of 1 holds the token -1"), ([[Int](repeating: 1, count: 65)], "has 65 tokens"),
      ([], "no sequence"),
    ] as [([[Int]], String)])
  func tokens(ids: [[Int]], expected: String) throws {
    let models = fixtures.appendingPathComponent("models")
    for name in ["tiny-llama", "tiny-gpt2"] {
      let model = try languageModel(contentsOf: models.appendingPathComponent(name))
      let error = #expect(throws: CheckpointError.self) { try model.tokenRows(ids) }
      #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
      #expect(throws: CheckpointError.self) {
        try model.continuation(of: ids.last ?? [], limit: 3, using: SeededGenerator(seed: 1))
      }
    }
    let bert = try Transformer(contentsOf: models.appendingPathComponent("tiny-bert"))
    #expect(throws: CheckpointError.self) { try bert.tokenRows(ids) }
    #expect(try bert.tokenRows([[1, 2], [31]]).ids == [1, 2, 31])
  }
}
