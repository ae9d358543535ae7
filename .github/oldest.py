"""Constraints for pip: the oldest series of each package that pyproject.toml allows, `numpy>=1.26` as `numpy==1.26.*`.

python .github/oldest.py > oldest.txt && pip install -c oldest.txt '.[mpi,test]'
"""

import re
from pathlib import Path

import tomllib

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["mpi"]]:
    name, version = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
    print(f"{name}=={version if '.' in version else version + '.0'}.*")
print("pyparsing<3.2")  # warns of what matplotlib 3.8 calls, and the tests make errors of warnings
