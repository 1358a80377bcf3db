/// `import LoRAKit` gives the whole library.
@_exported import LoRAAdapters
@_exported import LoRACharts
@_exported import LoRADatasets
@_exported import LoRAFiles
@_exported import LoRAFineTuning
@_exported import LoRAFormats
@_exported import LoRALinearAlgebra
@_exported import LoRAModels
@_exported import LoRANetworks
@_exported import LoRAPage
@_exported import LoRATensors
@_exported import LoRAToolbox
@_exported import LoRATraining
