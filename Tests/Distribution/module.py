"""The Python module of the wheel: module.py FOLDER, with a base and an adapter in it."""

import sys
from pathlib import Path

import swift_lora

folder = Path(sys.argv[1])
report = swift_lora.inspect(folder / "adapter")
assert isinstance(report, dict) and report, report
report = swift_lora.merge(folder / "base.safetensors", folder / "adapter", output=folder / "by-module.safetensors")
assert (folder / "by-module.safetensors").exists() and report, report
assert swift_lora.diff(folder / "by-module.safetensors", folder / "merged.safetensors")

for call, code in [
    (lambda: swift_lora.inspect(folder / "nothing"), 1),
    (lambda: swift_lora.run("inspect", folder / "adapter", no_such_option=True), 64),
    (lambda: swift_lora.merge(folder / "base.safetensors", folder / "adapter", output=folder / "by-module.safetensors"), None),  # is there
]:
    try:
        call()
    except swift_lora.LoRAError as error:
        assert str(error) and not str(error).startswith("Error:"), error
        assert code is None or error.code == code, (error.code, code)
    else:
        raise AssertionError("an error was expected")
print("the module answers:", ", ".join(sorted(report)))
