"""Puts the program that LORA_BUILD holds into the wheel, which is for every Python and for the platform LORA_PLATFORM."""

import os
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Program(BuildHookInterface):
    def initialize(self, version, build_data):
        build = Path(os.environ["LORA_BUILD"])
        build_data["tag"] = f"py3-none-{os.environ['LORA_PLATFORM']}"
        build_data["pure_python"] = False
        # As the program finds them: beside `bin`, in share/swift-lora.
        build_data["shared_scripts"][str(build / "lora")] = "lora"
        for resources in [*build.glob("*.resources"), *build.glob("*.bundle")]:
            build_data["shared_data"][str(resources)] = f"share/swift-lora/{resources.name}"
