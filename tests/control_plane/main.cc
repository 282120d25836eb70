// control_plane: a control plane for tests, told what to do on standard input. README.md has the orders.
//
//   control_plane --listen 127.0.0.1:0 --listen unix:/tmp/xds.sock
//
// Its first line says where it listens: {"listening": [...]}. It ends with its input. Exit codes: 0, or 2 where an address cannot
// be had or a file cannot be read.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/control_plane/commands.h"
#include "tests/control_plane/control_plane.h"

namespace {

struct Options {
  std::vector<std::string> addresses;
  std::string certificate;
  std::string key;
  std::string client_ca;
};

int fail(const std::string& text) {
  std::fprintf(stderr, "control_plane: %s\n", text.c_str());
  return 2;
}

std::string read_file(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator(file), {}};
}

int run(const Options& options) {
  const millrace::test::Security security{
      .certificate = read_file(options.certificate), .key = read_file(options.key), .client_ca = read_file(options.client_ca)};
  millrace::test::ControlPlane plane;
  for (const std::string& address : options.addresses) {
    if (!plane.listen(address, security))
      return fail(address + " cannot be listened on: is it taken, are certificate and key good?");
  }
  std::cout << nlohmann::json{{"listening", plane.addresses()}}.dump() << std::endl;
  millrace::test::Commands commands(plane);
  for (std::string line; std::getline(std::cin, line);) std::cout << commands.obey(line) << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"A control plane for tests: xDS over gRPC, told what to do by JSON lines on standard input.", "control_plane"};
  app.add_option("--listen", options.addresses, "IP:PORT (port 0: any) or unix:PATH; may be given again")->required();
  auto* certificate =
      app.add_option("--certificate", options.certificate, "PEM file: all addresses speak TLS")->check(CLI::ExistingFile);
  auto* key = app.add_option("--key", options.key, "PEM file of its key")->check(CLI::ExistingFile)->needs(certificate);
  certificate->needs(key);
  app.add_option("--client-ca", options.client_ca, "PEM file: clients need a certificate of it")
      ->check(CLI::ExistingFile)
      ->needs(key);
  CLI11_PARSE(app, argc, argv);
  return run(options);
}
