// RoBERTa (Liu et al. 2019), XLM-R (Conneau et al. 2020), CamemBERT (Martin et al. 2020): BERT with positions counted from
// the row after the padding's, and another head.

extension TransformerFamily {
  static let roberta = TransformerFamily("roberta", "xlm-roberta", "camembert", kind: .encoder) { json in
    var roberta = try TransformerDescription(bert: json, body: "roberta")
    try roberta.setSegments(json)
    try roberta.setPositions(after: json.token("pad_token_id", default: 1), json)
    roberta.names[.pooler] = "pooler.dense"
    roberta.head = HeadDescription(
      pooling: .first, dense: "classifier.dense", output: "classifier.out_proj", hasOutputBias: true)
    return roberta
  }
}
