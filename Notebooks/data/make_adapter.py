"""Makes the base model and the adapter that adapters.ipynb takes apart, with Python peft.

    pip install torch peft safetensors
    python make_adapter.py

The base reads the embedded digits. The adapter teaches it to read them from a scanner that swaps rows and columns.
"""

import gzip
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn

here = Path(__file__).resolve().parent
digits = here.parent.parent / "Sources/Datasets/Resources"


class DigitClassifier(nn.Module):
    """The library's DigitClassifier, with smaller hidden layers."""

    def __init__(self):
        super().__init__()
        self.hidden1 = nn.Linear(784, 64)
        self.hidden2 = nn.Linear(64, 64)
        self.output = nn.Linear(64, 10)

    def forward(self, images):
        return self.output(torch.relu(self.hidden2(torch.relu(self.hidden1(images)))))


def read(part):
    pixels = gzip.decompress((digits / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((digits / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    images = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).float().reshape(-1, 28, 28)
    return (images / 255 - 0.1307) / 0.3081, torch.tensor(list(labels))


def train(model, images, labels, epochs, learning_rate):
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=learning_rate, weight_decay=0.05)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


def accuracy(model, images, labels):
    with torch.no_grad():
        return f"{(model(images).argmax(1) == labels).float().mean():.1%}"


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    (images, labels), (test_images, test_labels) = read("train"), read("t10k")
    upright, swapped = images.flatten(1), images.transpose(1, 2).flatten(1)
    test_upright, test_swapped = test_images.flatten(1), test_images.transpose(1, 2).flatten(1)

    base = DigitClassifier()
    train(base, upright, labels, epochs=10, learning_rate=1e-3)
    print("base: upright", accuracy(base, test_upright, test_labels), "swapped", accuracy(base, test_swapped, test_labels))
    shutil.rmtree(here / "digits-base", ignore_errors=True)
    (here / "digits-base").mkdir()
    save_file(base.state_dict(), here / "digits-base/model.safetensors", metadata={"format": "pt"})

    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=["hidden1", "hidden2", "output"]))
    train(model, swapped, labels, epochs=20, learning_rate=2e-3)
    print("adapter: swapped", accuracy(model, test_swapped, test_labels))
    model.peft_config["default"].base_model_name_or_path = "digits-base"
    model.save_pretrained(here / "swapped-digits", save_embedding_layers=False)
    (here / "swapped-digits/README.md").unlink(missing_ok=True)
    for file in here.glob("*/*"):
        file.chmod(0o644)
