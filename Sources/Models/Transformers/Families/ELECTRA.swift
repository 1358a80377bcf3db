// ELECTRA (Clark et al. 2020): BERT whose table of tokens may be narrower than the rest, without a pooler.

extension TransformerFamily {
  static let electra = TransformerFamily("electra", kind: .encoder) { json in
    var electra = try TransformerDescription(bert: json, body: "electra")
    try electra.setSegments(json)
    let width = try json.integer("embedding_size", default: 128)
    if width != electra.hidden {
      electra.embeddingSize = width
      electra.names[.embeddingProjection] = "embeddings_project"
    }
    electra.head = HeadDescription(
      pooling: .first, dense: "classifier.dense", denseActivation: .gelu, output: "classifier.out_proj",
      hasOutputBias: true)
    return electra
  }
}
