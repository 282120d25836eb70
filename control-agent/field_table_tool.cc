// Writes docs/configuration.md anew: the hand-written part of the old file up to the marker, then the field table. With --check
// it only says whether the file is up to date (exit code 1: it is not). usage: config_field_table_tool [--check] FILE
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "control-agent/field_table.h"

int main(int argc, char** argv) {
  const bool check = argc == 3 && std::string_view(argv[1]) == "--check";
  if (argc != (check ? 3 : 2)) {
    std::cerr << "usage: config_field_table_tool [--check] FILE\n";
    return 2;
  }
  const std::string file = argv[argc - 1];
  std::ifstream in(file, std::ios::binary);
  const std::string old{std::istreambuf_iterator<char>(in), {}};
  static constexpr std::string_view kMarker = "<!-- field table: generated, do not edit below -->\n";
  const auto at = old.find(kMarker);
  if (at == std::string::npos) {
    std::cerr << file << ": lacks the line " << kMarker;
    return 2;
  }
  const std::string wanted = old.substr(0, at + kMarker.size()) + millrace::agent::field_table_markdown();
  if (wanted == old) return 0;
  if (check) {
    std::cerr << file << " is not up to date with control-agent/field_table.def: run config_field_table_tool " << file << "\n";
    return 1;
  }
  std::ofstream(file, std::ios::binary) << wanted;
  return 0;
}
