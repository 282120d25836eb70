// Each file in tests/data/broken begins with the messages that it must cause, all of them and in this order:
// "# expect: LINE: PATH: REASON". A file whose first line is "# dataplane" is given as --dataplane beside a good bootstrap.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "control-agent/bootstrap_loader.h"

namespace millrace::agent {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = MILLRACE_SOURCE_DIR;

std::vector<std::string> broken_files() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(kRoot / "tests/data/broken")) files.push_back(entry.path().stem().string());
  std::ranges::sort(files);
  return files;
}

class BrokenConfiguration : public testing::TestWithParam<std::string> {};

TEST_P(BrokenConfiguration, SaysWhatIsWrongAndWhere) {
  const fs::path file = kRoot / "tests/data/broken" / (GetParam() + ".yaml");
  std::ifstream in(file);
  std::vector<std::string> expected;
  bool is_dataplane = false;
  for (std::string line; std::getline(in, line) && line.starts_with("# ");) {
    if (line == "# dataplane") is_dataplane = true;
    if (line.starts_with("# expect: ")) {
      const std::string message = line.substr(10);
      expected.push_back(file.string() + (std::isdigit(message[0]) ? ":" : ": ") + message);
    }
  }
  ASSERT_FALSE(expected.empty());
  LoadOptions options;
  options.config_path = is_dataplane ? (kRoot / "deploy/examples/bootstrap.yaml").string() : file.string();
  options.dataplane_path = is_dataplane ? file.string() : (kRoot / "deploy/examples/dataplane.yaml").string();
  const auto loaded = load(options);
  ASSERT_FALSE(loaded);
  std::vector<std::string> messages;
  for (const auto& error : loaded.error()) messages.push_back(error.to_string());
  EXPECT_EQ(messages, expected);
}

INSTANTIATE_TEST_SUITE_P(Files, BrokenConfiguration, testing::ValuesIn(broken_files()),
                         [](const auto& test) { return test.param; });

TEST(BrokenConfigurations, AreAtLeastTen) { EXPECT_GE(broken_files().size(), 10U); }

}  // namespace
}  // namespace millrace::agent
