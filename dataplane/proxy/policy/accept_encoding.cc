#include "dataplane/proxy/policy/accept_encoding.h"

#include <algorithm>
#include <cstddef>

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

template <typename Visit>
void for_each_offer(std::string_view accept_encoding, Visit&& visit) {
  while (!accept_encoding.empty()) {
    const std::size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    visit(parse_offer(accept_encoding.substr(0, comma)));
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
  }
}

/// What we offer, without what the client refuses by name.
class Allowed {
 public:
  Allowed(std::string_view accept_encoding, std::span<const OfferedCoding> offered) : offered_(offered) {
    for_each_offer(accept_encoding, [&](const Offer& offer) {
      if (offer.weight > 0) return;
      for (std::size_t i = 0; i < offered.size(); ++i) {
        if (equal_ignoring_case(offer.coding, offered[i].name)) refused_ |= std::uint32_t{1} << i;
      }
    });
    for (std::size_t i = 0; i < offered.size(); ++i) {
      if (is_refused(i)) continue;
      if (preferred_ == nullptr || offered[i].choose_first) preferred_ = &offered[i];
    }
  }

  /// Null: we do not have it, or it is refused.
  [[nodiscard]] const OfferedCoding* find(std::string_view coding) const {
    for (std::size_t i = 0; i < offered_.size(); ++i) {
      if (!is_refused(i) && equal_ignoring_case(coding, offered_[i].name)) return &offered_[i];
    }
    return nullptr;
  }
  /// Where the client does not mind. Null: none is left.
  [[nodiscard]] const OfferedCoding* preferred() const { return preferred_; }

 private:
  [[nodiscard]] bool is_refused(std::size_t index) const { return (refused_ >> index & 1) != 0; }

  std::span<const OfferedCoding> offered_;
  std::uint32_t refused_ = 0;  // a bit for each of offered_
  const OfferedCoding* preferred_ = nullptr;
};

}  // namespace

ChosenCoding choose_encoding(std::string_view accept_encoding, std::span<const OfferedCoding> offered) {
  if (accept_encoding.data() == nullptr) return {.choice = EncodingChoice::kNoHeader, .coding = {}};
  const Allowed allowed(accept_encoding, offered);
  ChosenCoding chosen;
  if (allowed.preferred() == nullptr) return chosen;
  const OfferedCoding* chosen_ours = nullptr;
  unsigned best = 0;
  for_each_offer(accept_encoding, [&](const Offer& offer) {
    const OfferedCoding* ours = allowed.find(offer.coding);
    const bool any = offer.coding == "*";
    if (ours == nullptr && !any && !equal_ignoring_case(offer.coding, "identity")) return;
    const bool wins_tie =
        ours != nullptr && ours->choose_first && chosen_ours != nullptr && (!chosen_ours->choose_first || chosen_ours < ours);
    if (offer.weight < best || (offer.weight == best && !wins_tie)) return;
    best = offer.weight;
    chosen_ours = ours;
    if (ours != nullptr) {
      chosen = {.choice = EncodingChoice::kCoding, .coding = ours->name};
    } else if (any) {
      chosen = {.choice = EncodingChoice::kWildcard, .coding = allowed.preferred()->name};
    } else {
      chosen = {.choice = EncodingChoice::kIdentity, .coding = {}};
    }
  });
  return chosen;
}

}  // namespace millrace::proxy
