"""`lamplighter run` on applications in Ruby and Java."""
import json
import re
import shutil
import subprocess

import pytest
from conftest import ROOT, lamplighter

JAR = ROOT / "runtimes/tests/handlers/java/handlers.jar"


def version(program, *arguments):
    answer = subprocess.run([program, *arguments], capture_output=True, text=True).stdout
    return re.search(r"\d+(\.\d+)?", answer).group(0)


def application(folder, runtime, handler, code="."):
    (folder / "template.yaml").write_text(f"""AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: {runtime}
      Handler: {handler}
      CodeUri: {code}
      MemorySize: 256
      Timeout: 20
""")


def run_once(folder, data, mapping, *arguments):
    options = ["--runtime-map", mapping] if mapping.split("=")[0] != mapping.split("=")[1] else []
    return lamplighter("run", folder, "--once", "--listen", "127.0.0.1:0", "--data", data, *options, *arguments)


@pytest.mark.skipif(not shutil.which("ruby") or not shutil.which("bundle"), reason="no Ruby with bundler on this host")
def test_ruby_with_a_gemfile_is_bundled(tmp_path):
    folder = tmp_path / "shop"
    (folder / "wares/lib").mkdir(parents=True)
    (folder / "app.rb").write_text(
        "require 'bundler/setup'\nrequire 'wares'\ndef handler(event:, context:)\n  Wares.list\nend\n")
    (folder / "Gemfile").write_text("gem 'wares', path: 'wares'\n")
    (folder / "wares/lib/wares.rb").write_text("module Wares\n  def self.list = %w[a b]\nend\n")
    (folder / "wares/wares.gemspec").write_text(
        "Gem::Specification.new do |s|\n  s.name = 'wares'\n  s.version = '1.0.0'\n  s.summary = 'x'\n"
        "  s.authors = ['x']\n  s.files = ['lib/wares.rb']\nend\n")
    application(folder, "ruby3.3", "app.handler")
    done = run_once(folder, tmp_path / "data", f"ruby3.3=ruby{version('ruby', '--version')}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "building Hello (bundle install)" in done.stderr
    assert json.loads(re.search(r"^  answer +(.*)$", done.stdout, re.M).group(1)) == ["a", "b"]
    assert (folder / ".lamplighter/build/Hello/Gemfile.lock").exists() and not (folder / "Gemfile.lock").exists()


@pytest.mark.skipif(not shutil.which("java"), reason="no Java on this host")
@pytest.mark.parametrize("code", ["handlers.jar", "package/"])
def test_java_that_is_built_already(tmp_path, code):
    folder = tmp_path / "shop"
    (folder / "package/lib").mkdir(parents=True)
    shutil.copy(JAR, folder / "handlers.jar")
    shutil.copy(JAR, folder / "package/lib")
    application(folder, "java17", "example.App::noEvent", code)
    done = run_once(folder, tmp_path / "data", f"java17=java{version('java', '--version').split('.')[0]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(re.search(r"^  answer +(.*)$", done.stdout, re.M).group(1)) == "no event"


@pytest.mark.skipif(not shutil.which("java"), reason="no Java on this host")
def test_java_that_is_not_built_names_the_way(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "pom.xml").write_text("<project/>")
    application(folder, "java17", "example.App::noEvent")
    done = run_once(folder, tmp_path / "data", "java17=java17")
    assert done.returncode != 0 and "pom.xml: Java is not built here. Build it (mvn package" in done.stderr
