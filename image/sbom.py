"""Prints the bill of materials of the binary (CycloneDX 1.5): every crate that is linked into it, from Cargo itself.

Unlike a scan of Cargo.lock it leaves out what only tests, builds and other platforms use.
"""

import json
import subprocess
import sys
import tomllib


def linked_packages(metadata):
    """The packages that the program depends on when it runs, and the edges between them."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    program = next(id for id, package in packages.items() if package["name"] == "rillcast")
    edges, waiting = {}, [program]
    while waiting:
        id = waiting.pop()
        if id in edges:
            continue
        edges[id] = [
            dependency["pkg"] for dependency in nodes[id]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]) and not is_macro(packages[dependency["pkg"]])
        ]
        waiting += edges[id]
    return program, {id: packages[id] for id in edges}, edges


def is_macro(package):
    return any("proc-macro" in target["kind"] for target in package["targets"])


def url(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums):
    name, version = package["name"], package["version"]
    described = {"type": "library", "bom-ref": url(package), "name": name, "version": version, "purl": url(package)}
    if package.get("license"):
        described["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if (name, version) in checksums:
        described["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    return described


def main(version):
    host = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = next(line.removeprefix("host: ") for line in host.splitlines() if line.startswith("host: "))
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    with open("Cargo.lock", "rb") as lock:
        locked = tomllib.load(lock)["package"]
    checksums = {(one["name"], one["version"]): one["checksum"] for one in locked if "checksum" in one}
    program, packages, edges = linked_packages(metadata)
    links = [
        {"ref": url(packages[id]), "dependsOn": sorted(url(packages[other]) for other in edges[id])} for id in edges
    ]
    about = component(packages.pop(program), checksums) | {"type": "application", "version": version}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": about},
        "components": sorted((component(one, checksums) for one in packages.values()), key=lambda one: one["purl"]),
        "dependencies": sorted(links, key=lambda one: one["ref"]),
    }
    json.dump(bill, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main(sys.argv[1])
