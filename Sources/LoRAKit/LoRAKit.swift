/// `import LoRAKit` gives the whole library.
@_exported import Adapters
@_exported import Charts
@_exported import Checkpoints
@_exported import Datasets
@_exported import LinearAlgebra
@_exported import Models
@_exported import Networks
@_exported import Tensors
@_exported import Training
