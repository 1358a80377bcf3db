import LoRAFiles
import LoRAFormats
import TestSupport
import Testing

@Suite struct PEFTMatcherTests {
  func matcher(_ fields: JSON) throws -> PEFTMatcher {
    var json: JSON = ["peft_type": "LORA", "r": 8, "lora_alpha": 16]
    for member in fields.members { json[member.key] = member.value }
    return try PEFTMatcher(PEFTConfiguration(json))
  }

  @Test("A list entry matches a path that equals it or ends with a dot and it; a string must match all of the path")
  func targets() throws {
    let list = try matcher(["target_modules": ["q_proj", "mlp.up"]])
    #expect(try list.targets("q_proj"))
    #expect(try list.targets("layers.0.q_proj"))
    #expect(try list.targets("layers.0.mlp.up"))
    #expect(try !list.targets("layers.0.xq_proj"))
    #expect(try !list.targets("q_proj.inner"))
    let pattern = try matcher(["target_modules": "layers\\.[02]\\.q_proj"])
    #expect(try pattern.targets("layers.0.q_proj"))
    #expect(try !pattern.targets("model.layers.0.q_proj"))
    #expect(try !pattern.targets("layers.0.q_proj.x"))
  }

  @Test("Excluded and saved modules win over targets")
  func exclusion() throws {
    let excluding = try matcher([
      "target_modules": ["q", "v"], "exclude_modules": ["0.q"], "modules_to_save": ["head"],
    ])
    #expect(try !excluding.targets("layers.0.q"))
    #expect(try excluding.targets("layers.1.q"))
    #expect(try !excluding.targets("head.q"))
    #expect(try !excluding.targets("model.head.inner.v"))
    #expect(try !matcher(["target_modules": ["q"], "exclude_modules": ".*1.*"]).targets("layers.1.q"))
  }

  @Test("layers_to_transform looks at the first numbered part of the path, or at the one after layers_pattern")
  func layers() throws {
    let first = try matcher(["target_modules": ["q"], "layers_to_transform": [1]])
    #expect(try first.targets("model.layers.1.q"))
    #expect(try !first.targets("model.layers.0.q"))
    #expect(try !first.targets("model.layers.0.experts.1.q"))
    // Without a part before the name of the list there is no ".name.1." to find.
    #expect(try !first.targets("layers.1.q"))
    let named = try matcher(["target_modules": ["q"], "layers_to_transform": 1, "layers_pattern": "experts"])
    #expect(try named.targets("model.layers.0.experts.1.q"))
    #expect(try !named.targets("model.layers.1.experts.0.q"))
  }

  @Test("Of the pattern keys that match the end of a path, the first in the file counts")
  func patterns() throws {
    let json = try JSON(
      parsing: #"{"peft_type":"LORA","r":8,"target_modules":["q"],"rank_pattern":{"zeta\\.q":2,"q":4,".*":6}}"#)
    let matcher = try PEFTMatcher(PEFTConfiguration(json))
    #expect(try matcher.rank(of: "a.zeta.q") == 2)
    #expect(try matcher.rank(of: "a.beta.q") == 4)
    #expect(try matcher.rank(of: "a.xq") == 6)
    #expect(try matcher.alpha(of: "a.q") == 8)
  }

  @Test("A pattern that backtracks for ever stops")
  func backtracking() throws {
    let matcher = try matcher(["target_modules": "(a+)+(a+)+(a+)+b"])
    #expect(try !matcher.targets(String(repeating: "a", count: 60)))
    // With a reference to a group there is no way to remember what failed: it is an error, never "no match".
    let referring = try self.matcher(["target_modules": "(a*)*\\1(a*)*\\2(a+)+(a+)+b"])
    #expect(throws: CheckpointError.self) { try referring.targets(String(repeating: "a", count: 200)) }
  }

  @Test(
    "What peft can't load or would misread is refused",
    arguments: [
      #"{"r":8}"#, #"{"peft_type":"PREFIX_TUNING"}"#, #"[]"#, #"{"peft_type":"LORA","r":"x"}"#,
      #"{"peft_type":"LORA","r":0}"#,
      #"{"peft_type":"LORA","target_modules":[1]}"#, #"{"peft_type":"LORA","bias":"some"}"#,
      #"{"peft_type":"LORA","target_modules":"q","layers_to_transform":[1]}"#,
      #"{"peft_type":"LORA","target_modules":"all-linear","layers_to_transform":[]}"#,
      #"{"peft_type":"LORA","target_modules":"q","layers_pattern":"layers"}"#,
      #"{"peft_type":"LORA","target_modules":["q"],"layers_pattern":"layers"}"#,
      #"{"peft_type":"LORA","target_modules":["q"],"lora_bias":true,"use_dora":true}"#,
      #"{"peft_type":"LORA","target_modules":["q"],"lora_bias":true,"init_lora_weights":"gaussian"}"#,
      #"{"peft_type":"LORA","target_modules":["q"],"use_dora":true,"megatron_config":{"x":1}}"#,
      #"{"peft_type":"LORA","r":null}"#, #"{"peft_type":"LORA","lora_dropout":null}"#,
      #"{"peft_type":"LORA","rank_pattern":null}"#, #"{"peft_type":"LORA","lora_dropout":1.5}"#,
      #"{"peft_type":"LORA","task_type":"CHAT"}"#, #"{"peft_type":"OFT","r":0,"oft_block_size":0}"#,
      #"{"peft_type":"LORA","rank_pattern":{"q":1.5}}"#, #"{"peft_type":"LORA","target_modules":"("}"#,
    ])
  func refused(text: String) {
    #expect(throws: CheckpointError.self) { try PEFTMatcher(PEFTConfiguration(JSON(parsing: text))) }
  }

  @Test("what is odd and yet means something to peft is read: OFT's rank of 0, floats that Python alone writes")
  func accepted() throws {
    #expect(try PEFTConfiguration(["peft_type": "OFT", "r": 0, "oft_block_size": 32]).peftType == "OFT")
    for dropout in ["NaN", "-Infinity", "-0.5"] {
      let json = try JSON(parsing: #"{"peft_type":"LORA","lora_dropout":\#(dropout)}"#)
      #expect(try PEFTConfiguration(json).dropout == 0)
    }
  }
}
