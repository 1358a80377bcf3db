// The names of image models: every spelling of a module that LoRA files use, and where its weight lies in a checkpoint.
//
//   ImageModelNames(tensors: …)?.places(of: "double_blocks_0_img_attn_qkv", in: .denoiser)
//
// A module may be called as diffusers calls it or as the original layout does, with dots or, as kohya writes it, with
// underscores. Diffusers' modules are the measure: the stored tensors are cut into them, and each spelling is made of
// them, so that checkpoints and adapters of either layout meet. Pure: nothing here reads a file.

import LoRAFiles

/// One module of an image model.
package struct ImageModule: Equatable, Sendable {
  package let component: PipelineComponent
  /// The path as peft sees it on the model that diffusers or transformers builds.
  package let path: String
  package let places: [WeightPlace]
}

/// The modules of an image model's checkpoint by each of their names.
package struct ImageModelNames: Sendable {
  private var tables: [PipelineComponent: ComponentNames] = [:]

  /// - Parameters:
  ///   - tensors: names and shapes of a whole checkpoint: a component's folder or a single file with all of them.
  ///   - component: the component, where the checkpoint is the folder of one: the names of a pipeline's text encoders
  ///     are alike. Without it a lone CLIP is the second encoder if it is as wide as SDXL's, else the first.
  /// - Returns: `nil` where the names are no known image model's.
  package init?(tensors: [TensorInfo], component: PipelineComponent? = nil) {
    var rest = tensors[...]
    for (prefix, part) in ImageModelFamily.filePrefixes {
      let own = rest.filter { $0.name.hasPrefix(prefix) }
      guard !own.isEmpty, tables[part] == nil,
        let names = ComponentNames(own, prefix: prefix, isTextEncoder: part != .denoiser)
      else { continue }
      tables[part] = names
      rest = rest.filter { !$0.name.hasPrefix(prefix) }
    }
    if component != nil || tables[.denoiser] == nil, let names = ComponentNames(rest, prefix: "") {
      // T5 alone is a language model like others, unless its folder says what it is for.
      if names.isTextEncoder, names.family != .t5 || component != nil {
        let byWidth = PipelineComponent.textEncoder(names.width == 1280 ? 2 : 1)
        tables[component == .denoiser ? byWidth : component ?? byWidth] = names
      } else if !names.isTextEncoder {
        tables[.denoiser] = names
      }
    }
    if tables.isEmpty { return nil }
  }

  /// Which components the checkpoint holds.
  package var components: Set<PipelineComponent> { Set(tables.keys) }

  /// Where a module's weight lies.
  ///
  /// - Parameters:
  ///   - module: its name without the component's prefix (see ``LoRAModuleName``), with dots or with underscores, in
  ///     diffusers' layout or in the original one.
  ///   - component: `nil` where the name doesn't say: the only component that has such a module.
  /// - Returns: empty: no place, or a flat name that stands for two modules. Several: a fused projection over several
  ///   tensors, or rows in another order.
  package func places(of module: String, in component: PipelineComponent? = nil) -> [WeightPlace] {
    names(of: module, in: component)?.places(of: module, isBias: false) ?? []
  }

  /// Where a module's bias lies: as ``places(of:in:)``, with the bias's tensors.
  package func biasPlaces(of module: String, in component: PipelineComponent? = nil) -> [WeightPlace] {
    names(of: module, in: component)?.places(of: module, isBias: true) ?? []
  }

  /// The modules of diffusers that a module's rows lie in: path, and its rows there and in the module; `nil`: all rows.
  ///
  /// An original layout's fused projection gives several; a module that diffusers has too gives itself.
  package func diffusersModules(
    of module: String, in component: PipelineComponent? = nil
  ) -> [(path: String, pathRows: Range<Int>?, moduleRows: Range<Int>?)] {
    names(of: module, in: component)?.diffusersModules(of: module) ?? []
  }

  /// All modules that have a weight, as diffusers divides and calls them.
  package var modules: [ImageModule] {
    tables.flatMap { component, names in
      names.paths.map { ImageModule(component: component, path: $0, places: names.places(of: $0, isBias: false)) }
    }.sorted {
      $0.component == $1.component ? isOrdered($0.path, $1.path) : $0.component.order < $1.component.order
    }
  }

  private func names(of module: String, in component: PipelineComponent?) -> ComponentNames? {
    if let component {
      if let names = tables[component] { return names }
      // T5 is Flux's second encoder and Stable Diffusion 3's third; kohya calls it the third in both.
      let t5 = tables.values.first { $0.family == .t5 }
      return component == .textEncoder(2) || component == .textEncoder(3) ? t5 : nil
    }
    let having = tables.values.filter { $0.has(module) }
    return having.count == 1 ? having[0] : nil
  }
}

extension PipelineComponent {
  fileprivate var order: Int {
    switch self {
    case .denoiser: 0
    case .textEncoder(let number): number
    }
  }
}
