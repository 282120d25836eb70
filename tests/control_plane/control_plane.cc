#include "tests/control_plane/control_plane.h"

#include <algorithm>
#include <utility>

namespace millrace::test {
namespace {

/// A call that ends before anything was said.
class RefusedCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const grpc::Status& status) { Finish(status); }

 private:
  void OnDone() override { delete this; }
};

}  // namespace

ControlPlane::~ControlPlane() { stop_listening(""); }

// --- addresses

std::optional<std::string> ControlPlane::listen(const std::string& address, const Security& security) {
  auto front = std::make_unique<Front>(address, security, [this](const auto& context) { return accept(context); });
  if (!front->open()) return std::nullopt;
  fronts_.push_back(std::move(front));
  return fronts_.back()->address();
}

bool ControlPlane::stop_listening(const std::string& address) {
  bool found = false;
  for (const auto& front : fronts_) {
    if (!address.empty() && front->address() != address) continue;
    front->close();
    found = true;
  }
  return found;
}

bool ControlPlane::start_listening(const std::string& address) {
  bool found = false;
  for (const auto& front : fronts_) {
    if (!address.empty() && front->address() != address) continue;
    if (!front->open()) return false;
    found = true;
  }
  return found;
}

std::vector<std::string> ControlPlane::addresses() const {
  std::vector<std::string> list;
  for (const auto& front : fronts_) list.push_back(front->address());
  return list;
}

// --- what is served

void ControlPlane::replace(const std::string& type_url, const std::string& version, std::vector<Resource> resources, bool touch) {
  const std::scoped_lock hold(lock_);
  snapshot_.replace(type_url, version, std::move(resources), touch);
  push(type_url);
}

void ControlPlane::update(const std::string& type_url, const std::string& version, std::vector<Resource> resources,
                          const std::vector<std::string>& removed, bool touch) {
  const std::scoped_lock hold(lock_);
  snapshot_.update(type_url, version, std::move(resources), removed, touch);
  push(type_url);
}

void ControlPlane::forget(const std::string& type_url) {
  const std::scoped_lock hold(lock_);
  snapshot_.forget(type_url);
}

void ControlPlane::replay(std::optional<Capture> capture) {
  const std::scoped_lock hold(lock_);
  replay_ = std::move(capture);
  go_on_with_replay();
}

std::optional<std::size_t> ControlPlane::replay_until(std::size_t last) {
  const std::scoped_lock hold(lock_);
  if (!replay_) return std::nullopt;
  replay_->allow(last);
  go_on_with_replay();
  return replay_->left();
}

void ControlPlane::push(const std::string& type_url) {
  for (auto& [id, open] : streams_) answer(open, type_url);
}

void ControlPlane::answer(Open& open, const std::string& type_url) {
  const bool replayed = replay_ && !replay_->skips(type_url);
  if (open.mute || replayed || held(type_url)) return;
  const TypeState* state = snapshot_.find(type_url);
  if (state == nullptr) return;
  if (const auto bytes = open.conversation.answer(type_url, *state)) open.stream->send(*bytes);
}

void ControlPlane::go_on_with_replay() {
  while (const CapturedResponse* response = replay_ ? replay_->next() : nullptr) {
    const auto ready = std::ranges::find_if(streams_, [&](const auto& entry) {
      const Conversation& conversation = entry.second.conversation;
      return !entry.second.mute && conversation.subscribes(response->type_url) && !conversation.unanswered(response->type_url);
    });
    if (ready == streams_.end()) return;
    if (ready->second.conversation.repeat(response->bytes)) ready->second.stream->send(response->bytes);
    replay_->advance();
  }
}

// --- what goes wrong

void ControlPlane::set_style(const Style& style) {
  const std::scoped_lock hold(lock_);
  style_ = style;
}

void ControlPlane::welcome(Welcome welcome, const grpc::Status& refusal) {
  const std::scoped_lock hold(lock_);
  welcome_ = welcome;
  refusal_ = refusal;
}

void ControlPlane::hold(const std::set<std::string>& type_urls) {
  const std::scoped_lock hold(lock_);
  if (type_urls.empty()) hold_all_ = true;
  held_.insert(type_urls.begin(), type_urls.end());
}

void ControlPlane::release(const std::vector<std::string>& type_urls) {
  const std::scoped_lock hold(lock_);
  if (type_urls.empty()) {
    hold_all_ = false;
    held_.clear();
    for (auto& [id, open] : streams_) {
      for (const std::string& type_url : open.conversation.types()) answer(open, type_url);
    }
  }
  for (const std::string& type_url : type_urls) {
    held_.erase(type_url);
    push(type_url);
  }
}

std::vector<ControlPlane::Open*> ControlPlane::listeners_of(const std::string& type_url, std::optional<std::uint64_t> stream) {
  std::vector<Open*> found;
  for (auto& [id, open] : streams_) {
    if (stream ? id == *stream : (!open.mute && open.conversation.subscribes(type_url))) found.push_back(&open);
  }
  return found;
}

std::size_t ControlPlane::say(const Response& response, std::optional<std::uint64_t> stream) {
  const std::scoped_lock hold(lock_);
  const std::vector<Open*> listeners = listeners_of(response.type_url, stream);
  for (Open* open : listeners) open->stream->send(open->conversation.say(response));
  return listeners.size();
}

std::size_t ControlPlane::say_bytes(const std::string& type_url, const std::string& bytes, std::optional<std::uint64_t> stream) {
  const std::scoped_lock hold(lock_);
  const std::vector<Open*> listeners = listeners_of(type_url, stream);
  for (Open* open : listeners) open->stream->send(bytes);
  return listeners.size();
}

std::size_t ControlPlane::prolong(const std::string& type_url, const std::set<std::string>& names) {
  Response response{.type_url = type_url, .version = {}, .nonce = {}, .resources = {}, .removed = {}};
  {
    const std::scoped_lock hold(lock_);
    const TypeState* state = snapshot_.find(type_url);
    if (state == nullptr) return 0;
    response.version = state->version;
    for (const auto& [name, resource] : state->resources) {
      if (names.contains(name))
        response.resources.push_back({.name = name, .version = resource.version, .body = {}, .ttl = resource.ttl});
    }
  }
  return say(response, std::nullopt);
}

std::size_t ControlPlane::end_streams(const grpc::Status& status, std::optional<std::uint64_t> stream) {
  const std::scoped_lock hold(lock_);
  std::size_t count = loads_.end_streams(status, stream);
  for (auto& [id, open] : streams_) {
    if (stream && id != *stream) continue;
    open.stream->finish(status);
    ++count;
  }
  return count;
}

// --- what was heard

nlohmann::ordered_json ControlPlane::requests(std::size_t first) const {
  const std::scoped_lock hold(lock_);
  return journal_.requests(first);
}

nlohmann::ordered_json ControlPlane::last(const std::string& type_url) const {
  const std::scoped_lock hold(lock_);
  return journal_.last(type_url);
}

nlohmann::ordered_json ControlPlane::streams() const {
  const std::scoped_lock hold(lock_);
  auto list = nlohmann::ordered_json::array();
  for (const auto& [id, open] : streams_) {
    auto types = nlohmann::ordered_json::array();
    for (const std::string& type_url : open.conversation.types()) types.push_back(short_name(type_url));
    const std::string& only = open.conversation.type_url();
    list.push_back({{"id", id},
                    {"form", open.conversation.form() == Form::kDelta ? "delta" : "sotw"},
                    {"type", only.empty() ? "ADS" : short_name(only)},
                    {"types", types}});
  }
  return {{"open", list}, {"opened", opened_}, {"refused", refused_}};
}

bool ControlPlane::wait_for_verdict(const std::string& type_url, const std::string& version, bool accepted,
                                    std::chrono::milliseconds limit) {
  std::unique_lock hold(lock_);
  return heard_.wait_for(hold, limit, [&] { return journal_.judged(type_url, version, accepted); });
}

// --- threads of gRPC

grpc::ServerGenericBidiReactor* ControlPlane::accept(const grpc::GenericCallbackServerContext& context) {
  const auto method = find_method(context.method());
  const bool reports_load = LoadReports::is_method(context.method());
  const std::scoped_lock hold(lock_);
  if (!method && !reports_load)
    return new RefusedCall({grpc::StatusCode::UNIMPLEMENTED, "no stream of discovery: " + context.method()});
  if (welcome_ == Welcome::kRefuse) {
    ++refused_;
    return new RefusedCall(refusal_);
  }
  const std::uint64_t id = ++opened_;
  if (reports_load) return loads_.accept(id, welcome_ == Welcome::kHang);
  auto* stream = new Stream(id, *this);
  streams_.emplace(id, Open{.stream = stream,
                            .conversation = Conversation(id, method->form, method->type_url, style_),
                            .mute = welcome_ == Welcome::kHang});
  stream->start();
  return stream;
}

void ControlPlane::on_message(std::uint64_t stream, const std::string& bytes) {
  const std::scoped_lock hold(lock_);
  Open& open = streams_.at(stream);
  const auto heard = open.conversation.hear(bytes);
  if (!heard) return open.stream->finish({grpc::StatusCode::INTERNAL, "the message is no request of discovery"});
  journal_.record(open.conversation, *heard);
  heard_.notify_all();
  answer(open, heard->request.type_url);
  go_on_with_replay();
}

void ControlPlane::on_closed(std::uint64_t stream) {
  const std::scoped_lock hold(lock_);
  streams_.erase(stream);
}

}  // namespace millrace::test
