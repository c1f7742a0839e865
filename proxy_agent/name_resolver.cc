#include "proxy_agent/name_resolver.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace countersign::proxy {

struct NameResolver::State {
  struct Question {
    std::string name;
    bool answered = false;
    std::vector<Address> addresses;
  };
  EndpointNames::Lookup lookup;
  std::mutex mutex;  // Guards what follows.
  std::condition_variable changed;
  std::deque<std::shared_ptr<Question>> open;  // The first is being looked up.
  bool busy = false;
  bool stopped = false;
};

NameResolver::NameResolver(EndpointNames::Lookup lookup) : state_(std::make_shared<State>()) {
  state_->lookup = std::move(lookup);
  thread_ = std::thread([state = state_] { Run(state); });
}

NameResolver::~NameResolver() {
  Stop();
  bool busy = false;
  {
    std::lock_guard lock(state_->mutex);
    busy = state_->busy;
  }
  if (busy) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void NameResolver::Stop() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopped = true;
  }
  state_->changed.notify_all();
}

void NameResolver::Run(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  while (true) {
    state->changed.wait(lock, [&] { return state->stopped || !state->open.empty(); });
    if (state->stopped) {
      return;
    }
    const std::shared_ptr<State::Question> question = state->open.front();
    state->busy = true;
    lock.unlock();
    std::vector<Address> found = EndpointNames::InOrder(state->lookup(question->name));
    lock.lock();
    state->busy = false;
    question->addresses = std::move(found);
    question->answered = true;
    state->open.pop_front();
    state->changed.notify_all();
  }
}

EndpointNames::Known NameResolver::LookUp(const std::vector<std::string>& names,
                                          std::optional<std::chrono::milliseconds> patience) {
  std::vector<std::shared_ptr<State::Question>> asked;
  std::unique_lock lock(state_->mutex);
  for (const std::string& name : names) {
    const auto open = std::find_if(state_->open.begin(), state_->open.end(),
                                   [&](const auto& question) { return question->name == name; });
    if (open == state_->open.end()) {
      asked.push_back(std::make_shared<State::Question>());
      asked.back()->name = name;
      state_->open.push_back(asked.back());
    } else {
      asked.push_back(*open);
    }
  }
  state_->changed.notify_all();
  const auto over = [&] {
    return state_->stopped || std::all_of(asked.begin(), asked.end(),
                                          [](const auto& question) { return question->answered; });
  };
  if (patience.has_value()) {
    state_->changed.wait_for(lock, *patience, over);
  } else {
    state_->changed.wait(lock, over);
  }
  EndpointNames::Known known;
  for (const std::shared_ptr<State::Question>& question : asked) {
    if (question->answered) {
      known.emplace(question->name, question->addresses);
    }
  }
  return known;
}

}  // namespace countersign::proxy
