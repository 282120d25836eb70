#include "dataplane/proxy/policy/accept_encoding.h"

#include <algorithm>

#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

struct Offer {
  std::string_view coding;
  unsigned weight = 1000;  ///< thousandths
};

// RFC 9110 12.4.2: at most three digits behind the point. What is not a weight counts as none at all.
unsigned weight_of(std::string_view text) {
  if (text.empty() || text[0] < '0' || text[0] > '1') return 0;
  unsigned weight = text[0] == '1' ? 1000 : 0;
  unsigned place = 100;
  for (std::size_t i = 2; i < text.size() && text[1] == '.' && text[i] >= '0' && text[i] <= '9' && place > 0; ++i) {
    weight += static_cast<unsigned>(text[i] - '0') * place;
    place /= 10;
  }
  return std::min(weight, 1000u);
}

Offer parse_offer(std::string_view element) {
  const std::size_t cut = element.find(';');
  Offer offer{.coding = trim(element.substr(0, cut))};
  if (cut == std::string_view::npos) return offer;
  const std::string_view parameter = trim(element.substr(cut + 1));
  const std::size_t equals = parameter.find('=');
  if (equals != std::string_view::npos && equal_ignoring_case(trim(parameter.substr(0, equals)), "q"))
    offer.weight = weight_of(trim(parameter.substr(equals + 1)));
  return offer;
}

}  // namespace

EncodingChoice choose_encoding(std::string_view accept_encoding, std::string_view coding) {
  if (accept_encoding.data() == nullptr) return EncodingChoice::kNoHeader;
  EncodingChoice choice = EncodingChoice::kNotValid;
  unsigned best = 0;
  bool refused = false;
  while (!accept_encoding.empty()) {
    const std::size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    const Offer offer = parse_offer(accept_encoding.substr(0, comma));
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    const bool ours = equal_ignoring_case(offer.coding, coding);
    const bool any = offer.coding == "*";
    if (ours && offer.weight == 0) refused = true;
    if (offer.weight <= best || !(ours || any || equal_ignoring_case(offer.coding, "identity"))) continue;
    best = offer.weight;
    choice = ours ? EncodingChoice::kCoding : any ? EncodingChoice::kWildcard : EncodingChoice::kIdentity;
  }
  return choice == EncodingChoice::kWildcard && refused ? EncodingChoice::kNotValid : choice;
}

}  // namespace millrace::proxy
