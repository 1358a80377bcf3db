"""`python -m swift_kernel install …` installs the kernel; Jupyter starts it with `-f CONNECTION_FILE`."""

import sys
from pathlib import Path

if not __package__:  # started by path, as the kernel specification does it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

if __name__ == "__main__":
    if sys.argv[1:2] == ["install"]:
        from swift_kernel.install import main

        sys.exit(main(sys.argv[2:]))
    from ipykernel.kernelapp import IPKernelApp

    from swift_kernel.kernel import SwiftKernel

    IPKernelApp.launch_instance(kernel_class=SwiftKernel)
