// Resources that nobody would send: those of real control planes with fields changed, emptied, taken away and bytes turned over.
// What is refused is named, with the field, what was there before stays, and nothing else happens.
#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/message_mutator.h"
#include "tests/unit/control-agent/xds/xds_conversation.h"

namespace millrace::agent {
namespace {

using google::protobuf::Message;

class XdsMutations : public testing::TestWithParam<std::string> {};

TEST_P(XdsMutations, AreRefusedByNameOrTaken) {
  constexpr int kRounds = 60;
  google::protobuf::SetLogHandler(nullptr);  // it would say of each that it is no UTF-8
  const bool is_delta = GetParam().ends_with("-delta");
  const auto responses = test::recorded(GetParam());
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE("seed " + std::to_string(round));
    test::MessageMutator mutator(static_cast<std::uint64_t>(round));
    test::Conversation conversation(is_delta, true);
    for (const auto& [file, recorded] : responses) {
      XdsResponse response = recorded;
      for (XdsResource& resource : response.resources) {
        if (mutator.rng().chance(1, 3)) continue;
        if (mutator.rng().chance(1, 8)) {
          resource.body.set_value(mutator.damage(resource.body.value()));
          continue;
        }
        const auto* type = find_any_type(resource.body.type_url());
        if (type == nullptr) continue;
        const std::unique_ptr<Message> message(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
        ASSERT_TRUE(message->ParseFromString(resource.body.value()));
        for (std::uint32_t i = 0; i <= mutator.rng().below(3); ++i) mutator.change(*message);
        resource.body.set_value(message->SerializePartialAsString());
      }
      const std::string error = conversation.say(std::move(response));
      if (error.empty()) continue;
      ++refused;
      EXPECT_EQ(conversation.without_fault(error), "") << "whose fault it is, and of which field";
    }
    ASSERT_NE(conversation.snapshot(), nullptr);
  }
  EXPECT_GT(refused, kRounds / 2) << "most rounds break something";
}

INSTANTIATE_TEST_SUITE_P(Conversations, XdsMutations,
                         testing::Values("istiod-gateway-delta", "istiod-plain-sidecar-sotw", "go-control-plane-delta"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace millrace::agent
