// What the client says in written conversations (tests/data/xds_golden) is what it said when they were written.
#include "tests/unit/control-agent/xds/xds_golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace millrace::agent {
namespace {

std::filesystem::path folder() { return std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/data/xds_golden"; }

class XdsGolden : public testing::TestWithParam<std::string> {};

TEST_P(XdsGolden, IsSaidAgain) {
  const auto path = folder() / (GetParam() + ".txt");
  std::ifstream file(path);
  const std::string golden{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(golden.empty()) << path;
  test::GoldenPlayer player;
  const std::string played = player.play(golden);
  if (std::getenv("MR_REWRITE_GOLDEN") != nullptr) {
    std::ofstream(path) << played;
    return;
  }
  EXPECT_EQ(played, golden) << "If that is meant: MR_REWRITE_GOLDEN=1 agent_xds_test --gtest_filter=*XdsGolden*";
}

std::vector<std::string> conversations() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Conversations, XdsGolden, testing::ValuesIn(conversations()), [](const auto& test) {
  std::string name = test.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace millrace::agent
