// A control plane that may say anything: responses to a client with the whole agent behind it. Checked: each is taken, or refused
// with the name of what is wrong with it and the path of the field; nothing else happens. Mutations know the messages, also those
// within an Any.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "tests/fuzz/fuzz_input.h"
#include "tests/support/message_mutator.h"
#include "tests/unit/control-agent/xds/xds_conversation.h"
#include "tests/unit/control-agent/xds/xds_script.h"

using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using millrace::agent::take_response;
using millrace::agent::test::Conversation;
using millrace::agent::test::MessageMutator;
using millrace::agent::test::XdsScript;
using millrace::fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  google::protobuf::SetLogHandler(nullptr);
  XdsScript script;
  if (!script.parse({reinterpret_cast<const char*>(data), size})) return 0;
  Conversation conversation(script.is_delta, true);
  for (DeltaDiscoveryResponse& one : script.responses) {
    const std::string refused = conversation.say(take_response(std::move(one)));
    require(conversation.without_fault(refused).empty());
  }
  require(conversation.snapshot() != nullptr);
  return 0;
}

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned int seed) {
  XdsScript script;
  MessageMutator mutator(seed);
  if (mutator.rng().chance(1, 20) || !script.parse({reinterpret_cast<const char*>(data), size}))
    return LLVMFuzzerMutate(data, size, most);
  auto& response = script.responses[mutator.rng().below(static_cast<std::uint32_t>(script.responses.size()))];
  if (response.resources_size() == 0 || mutator.rng().chance(1, 10)) {
    mutator.change(response);
  } else {
    const auto at = mutator.rng().below(static_cast<std::uint32_t>(response.resources_size()));
    mutator.change(*response.mutable_resources(static_cast<int>(at)));
  }
  const std::string out = script.print();
  if (out.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::memcpy(data, out.data(), out.size());
  return out.size();
}
#endif
