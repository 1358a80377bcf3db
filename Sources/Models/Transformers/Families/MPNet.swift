// MPNet (Song et al. 2020): BERT without segments, whose scores have a learnt bias by distance, the same in all layers.

extension TransformerFamily {
  static let mpnet = TransformerFamily("mpnet", kind: .encoder) { json in
    var mpnet = try TransformerDescription(bert: json, body: "mpnet")
    // transformers takes 1, whatever the file says.
    json.ignore("pad_token_id")
    try mpnet.setPositions(after: 1, json)
    try json.require("relative_attention_num_buckets", .integer(DistanceBuckets.count))
    mpnet.distanceBuckets = DistanceBuckets.count
    mpnet.names.merge(
      [
        .distanceBias: "encoder.relative_attention_bias", .pooler: "pooler.dense", .query: "attention.attn.q",
        .key: "attention.attn.k", .value: "attention.attn.v", .output: "attention.attn.o",
        .attentionSumNorm: "attention.LayerNorm",
      ], uniquingKeysWith: { $1 })
    mpnet.head = HeadDescription(
      pooling: .first, dense: "classifier.dense", output: "classifier.out_proj", hasOutputBias: true)
    return mpnet
  }
}
