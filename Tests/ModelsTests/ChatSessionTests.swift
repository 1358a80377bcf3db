// A conversation that goes on: what is kept of what was read changes nothing of what is said.
import Foundation
import LoRAFiles
import LoRAModels
import TestSupport
import Testing

@Suite("A conversation that goes on")
struct ChatSessionTests {
  @Test("answers are those of the whole conversation read anew, of which only what is new is read")
  func cache() throws {
    try withTemporaryDirectory { folder in
      let models = fixtures.appendingPathComponent("models")
      let model = folder.appendingPathComponent("model")
      try FileManager.default.copyItem(at: models.appendingPathComponent("small-decoder"), to: model)
      try FileManager.default.copyItem(
        at: models.appendingPathComponent("tokenizer-metaspace.json"),
        to: model.appendingPathComponent("tokenizer.json"))
      let config = model.appendingPathComponent("config.json")
      let text = try String(contentsOf: config, encoding: .utf8)
        .replacing(/"max_position_embeddings": \d+/, with: "\"max_position_embeddings\": 2000")
      try Data(text.utf8).write(to: config)
      let generator = try TextGenerator(model: model)
      let template = try generator.chatTemplate(named: "chatml")
      let session = ChatSession(generator, template: template, system: "Be kind.")
      var said: [JSON] = [["role": "system", "content": "Be kind."]]
      var read: [Int] = []
      for question in ["the quick fox", "and the dog", "é?"] {
        let answer = try session.answer(question, limit: 12) { _ in true }.text
        said.append(["role": "user", "content": .string(question)])
        let ids = try generator.encode(said, template: template).ids
        var whole = generator.text(afterIDs: ids, limit: 12, ends: generator.ends(by: template))
        while whole.next() != nil {}
        #expect(answer == whole.text && !answer.isEmpty)
        said.append(["role": "assistant", "content": .string(answer)])
        read.append(ids.count - session.readCount)
      }
      #expect(session.messages == said)
      // Of the first nothing was known, of the others most.
      #expect(read[0] == 0 && read[1] > 20 && read[2] > read[1], "\(read) tokens were known")
      session.reset()
      #expect(session.messages.count == 1)
      let again = try session.answer("the quick fox", limit: 12) { _ in true }
      #expect(JSON.string(again.text) == said[2]["content"])
    }
  }
}
