// This program's options for what the library advises.

import LoRAKit

extension Advice.Action {
  /// What this program has for it.
  var option: String {
    switch self {
    case .untie: "--untie"
    case .nameBase: "--base"
    case .nameColumns: "--text-column, --label-column"
    case .nameTextColumn: "--text-column"
    case .nameChatTemplate: "--chat-template FILE, or --chat-template chatml"
    case .chooseFormat: "--dtype"
    case .combineExactly: "--method exact"
    case .trainClassifier: "lora train classify"
    case .trainLanguageModel: "lora train lm"
    case .convertToLoRA: "lora convert --to lora"
    case .merge: "lora merge"
    case .inspect: "lora inspect"
    }
  }
}
