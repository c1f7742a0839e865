#include "identity/strict_json.h"

#include <utility>
#include <vector>

namespace countersign::identity {
namespace {

// StrictReader builds the document itself, because the library's own builder overwrites duplicates.
class StrictReader final : public nlohmann::json_sax<Json> {
 public:
  explicit StrictReader(const StrictJsonLimits& limits) : limits_(limits) {}

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == string_t::npos) {
      return Refuse(InvalidArgument(limits_.what, " has the integer ", Quoted(text),
                                    ", which does not fit into 64 bits"));
    }
    return Add(value);
  }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON has none.

  bool start_object(size_t /*size*/) override { return Open(Json::object()); }
  bool key(string_t& name) override {
    auto [member, is_new] = open_.back()->emplace(name, nullptr);
    if (!is_new) {
      return Refuse(
          InvalidArgument(limits_.what, " has the member ", Quoted(name), " twice in one object"));
    }
    member_ = &*member;
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(size_t /*size*/) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }

  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return Refuse(InvalidArgument(limits_.what, " is not valid JSON at byte ", position));
  }

  StatusOr<Json> Take() {
    if (!status_.ok()) {
      return status_;
    }
    return std::move(root_);
  }

 private:
  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_object()) {
      *member_ = std::move(value);
      return member_;
    }
    // Only the last element can be open, so growing moves nothing that open_ points to.
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }
  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(Json value) {
    if (open_.size() >= limits_.depth_max) {
      return Refuse(ResourceExhausted(limits_.what, " is nested deeper than the limit of ",
                                      limits_.depth_max));
    }
    open_.push_back(Place(std::move(value)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }
  bool Refuse(Status status) {
    status_ = std::move(status);
    return false;
  }

  const StrictJsonLimits& limits_;
  Json root_;
  std::vector<Json*> open_;  // From the root inwards; objects and arrays only.
  Json* member_ = nullptr;   // Where the next value goes when the innermost is an object.
  Status status_;
};

}  // namespace

StatusOr<Json> ParseStrictJson(std::string_view text, const StrictJsonLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return ResourceExhausted(limits.what, " is larger than the limit of ", limits.bytes_max,
                             " bytes");
  }
  StrictReader reader(limits);
  // Every way to fail goes through Refuse, so the status says as much as this result.
  bool is_read = Json::sax_parse(text, &reader);
  StatusOr<Json> document = reader.Take();
  CHECK(is_read == document.ok());
  return document;
}

}  // namespace countersign::identity
