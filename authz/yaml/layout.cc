#include "authz/yaml/layout.h"

#include <algorithm>

namespace countersign::authz::yaml {
namespace {

constexpr size_t kStep = 2;
constexpr size_t kNone = std::string_view::npos;

bool IsBlank(char c) { return c == ' ' || c == '\t'; }
bool EndsToken(std::string_view line, size_t at) { return at >= line.size() || IsBlank(line[at]); }

std::string_view TrimEnd(std::string_view text) {
  size_t last = text.find_last_not_of(" \t\r");
  return text.substr(0, last == kNone ? 0 : last + 1);
}

size_t SkipBlanks(std::string_view line, size_t at) {
  size_t found = line.find_first_not_of(" \t", at);
  return found == kNone ? line.size() : found;
}

// Where the ':' behind a key that begins at `at` stands, or kNone.
size_t FindColon(std::string_view line, size_t at) {
  char quote = line[at];
  if (quote == '[' || quote == '{') {
    return kNone;
  }
  size_t from = at;
  if (quote == '"' || quote == '\'') {
    auto pair = [&](size_t i) {
      return (quote == '"' && line[i] == '\\') ||
             (quote == '\'' && line.substr(i).starts_with("''"));
    };
    for (from = at + 1; from < line.size() && (line[from] != quote || pair(from)); ++from) {
      from += pair(from) ? 1 : 0;
    }
    from = SkipBlanks(line, std::min(from + 1, line.size()));
    return from < line.size() && line[from] == ':' && EndsToken(line, from + 1) ? from : kNone;
  }
  for (; from < line.size(); ++from) {
    if (line[from] == '#' && from > at && IsBlank(line[from - 1])) {
      return kNone;
    }
    if (line[from] == ':' && EndsToken(line, from + 1)) {
      return from;
    }
  }
  return kNone;
}

// Layout reads lines in order and writes each once.
class Layout {
 public:
  explicit Layout(std::string_view text) {
    while (!text.empty()) {
      size_t end = text.find('\n');
      lines_.push_back(text.substr(0, end));
      text = end == kNone ? "" : text.substr(end + 1);
    }
  }

  StatusOr<std::string> Run() {
    for (at_ = 0; at_ < lines_.size(); ++at_) {
      std::string_view line = TrimEnd(lines_[at_]);
      size_t column = SkipBlanks(line, 0);
      if (line.empty()) {
        blank_ = true;
      } else if (line[column] == '#') {
        comments_.push_back({line.substr(column), column, ColumnOfComment(column), blank_});
        blank_ = false;
      } else if (column == 0 && (line.starts_with("---") || line.starts_with("...")) &&
                 EndsToken(line, 3)) {
        RETURN_IF_ERROR(Marker(line));
      } else if (line.substr(0, column).find('\t') != kNone || line[column] == '%' ||
                 (line[column] == '?' && EndsToken(line, column + 1))) {
        return InvalidArgument(at_ + 1, ":", column + 1, ": fmt does not lay out ",
                               Quoted(line.substr(0, column + 1)), " at the beginning of a line");
      } else {
        Content(line, column);
      }
    }
    WriteComments({});
    return std::move(out_);
  }

 private:
  enum class Collection : uint8_t { kMap, kSequence };
  // Level is an open block collection: where it began and where it begins now.
  struct Level {
    size_t old_column;
    size_t column;
    Collection collection;
  };
  // Where a line stood and stands, and whether an empty one stands above it.
  struct Place {
    size_t old_column = 0;
    size_t column = 0;
    bool blank_before = false;
  };
  struct Comment {
    std::string_view text;
    size_t old_column;
    size_t column;  // If it belongs to what stands before it.
    bool blank_before;
  };

  void Write(const Place& place, std::string_view text) {
    out_ += place.blank_before && !out_.empty() ? "\n" : "";
    out_ += Concat(std::string(place.column, ' '), text, "\n");
  }

  // The deepest open level that a comment at `column` stands in.
  size_t ColumnOfComment(size_t column) const {
    for (size_t i = levels_.size(); i-- > 0;) {
      if (levels_[i].old_column <= column) {
        return levels_[i].column;
      }
    }
    return 0;
  }

  // A comment belongs to the line below it, unless it is indented further than that.
  void WriteComments(const Place& next) {
    for (const Comment& comment : comments_) {
      size_t column = comment.old_column <= next.old_column ? next.column
                                                            : std::max(comment.column, next.column);
      Write({comment.old_column, column, comment.blank_before}, comment.text);
    }
    comments_.clear();
  }

  Status Marker(std::string_view line) {
    size_t rest = SkipBlanks(line, 3);
    if (rest < line.size() && line[rest] != '#') {
      return InvalidArgument(at_ + 1, ":", rest + 1, ": begin the document on the line after ",
                             line.substr(0, 3));
    }
    WriteComments({});
    levels_.clear();
    Write({0, 0, blank_}, line);
    blank_ = false;
    return absl::OkStatus();
  }

  size_t Below() const { return levels_.empty() ? 0 : levels_.back().column + kStep; }

  size_t Enter(size_t old_column, Collection collection) {
    // A list may stand at the column of its key: a key there ends it.
    auto ends = [&](const Level& level) {
      return level.old_column > old_column ||
             (level.old_column == old_column && level.collection == Collection::kSequence &&
              collection == Collection::kMap);
    };
    while (!levels_.empty() && ends(levels_.back())) {
      levels_.pop_back();
    }
    bool open = !levels_.empty() && levels_.back().old_column == old_column &&
                levels_.back().collection == collection;
    if (!open) {
      levels_.push_back({old_column, Below(), collection});
    }
    return levels_.back().column;
  }

  // One line of block content: dashes, a key, the beginning of a value.
  void Content(std::string_view line, size_t old_column) {
    std::string text;
    size_t column = kNone;
    size_t at = old_column;
    while (at < line.size() && line[at] == '-' && EndsToken(line, at + 1)) {
      size_t entered = Enter(at, Collection::kSequence);
      column = column == kNone ? entered : column;
      size_t item = SkipBlanks(line, ++at);
      if (item == line.size() || line[item] == '#') {
        text += '-';
        break;
      }
      text += "- ";
      at = item;
    }
    size_t colon = at < line.size() && !IsBlank(line[at]) ? FindColon(line, at) : kNone;
    if (colon != kNone) {
      size_t entered = Enter(at, Collection::kMap);
      column = column == kNone ? entered : column;
      text += Concat(TrimEnd(line.substr(at, colon - at)), ":");
      at = colon + 1;
    }
    column = column == kNone ? Below() : column;
    Place place = {old_column, column, blank_};
    WriteComments(place);
    blank_ = false;
    size_t value = SkipBlanks(line, at);
    if (colon != kNone && value < line.size() && line[value] != '#') {
      text += ' ';
    }
    Value(line, at, std::move(text), place);
  }

  void Value(std::string_view line, size_t after, std::string text, const Place& place) {
    size_t at = SkipBlanks(line, after);
    if (at == line.size()) {
      Write(place, text);
    } else if (line[at] == '#') {
      Write(place, Concat(text, line.substr(after)));
    } else if (line[at] == '|' || line[at] == '>') {
      Write(place, Concat(text, line.substr(at)));
      BlockScalar(line.substr(at));
    } else if (std::string_view("[{\"'").find(line[at]) != kNone) {
      FlowLine flow;
      flow.Append(line.substr(at), text);
      Write(place, text);
      MoreFlow(flow, place);
    } else {
      Write(place, Concat(text, line.substr(at)));
    }
  }

  // The further lines of a flow collection or of a quoted text keep their place to the first.
  void MoreFlow(FlowLine& flow, const Place& place) {
    while (!flow.Done() && at_ + 1 < lines_.size()) {
      bool quoted = flow.InQuote();
      std::string_view line = TrimEnd(lines_[++at_]);
      size_t old_column = SkipBlanks(line, 0);
      if (line.empty()) {
        out_ += "\n";
        continue;
      }
      bool closes = !quoted && (line[old_column] == ']' || line[old_column] == '}');
      size_t floor = levels_.empty() ? 0 : levels_.back().column + (closes ? 0 : kStep);
      size_t moved = old_column + place.column;
      size_t column = std::max(floor, moved > place.old_column ? moved - place.old_column : 0);
      std::string text;
      flow.Append(line.substr(old_column), text);
      Write({old_column, column, false}, text);
    }
  }

  // The lines of a block scalar move together; everything in them is text.
  void BlockScalar(std::string_view header) {
    header = header.substr(0, header.find_first_of(" \t"));
    bool keeps = header.find('+') != kNone;
    bool fixed = header.find_first_of("123456789") != kNone;
    size_t parent = levels_.empty() ? 0 : levels_.back().old_column + 1;
    size_t first = kNone;
    size_t end = at_ + 1;  // Behind the last line that belongs to it.
    for (size_t i = at_ + 1; i < lines_.size(); ++i) {
      size_t column = lines_[i].find_first_not_of(" \r");
      if (column == kNone) {
        end = keeps ? i + 1 : end;
        continue;
      }
      if (column < parent || (first != kNone && column < first && !fixed)) {
        break;
      }
      first = first == kNone ? column : first;
      end = i + 1;
    }
    size_t old_base = fixed && !levels_.empty() ? levels_.back().old_column : first;
    size_t base = fixed && !levels_.empty() ? levels_.back().column : Below();
    for (; at_ + 1 < end; ++at_) {
      std::string_view line = lines_[at_ + 1];
      line = line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
      bool empty = line.find_first_not_of(' ') == kNone && (first == kNone || line.size() <= first);
      out_ += empty ? "\n"
                    : Concat(std::string(base, ' '), line.substr(std::min(old_base, line.size())),
                             "\n");
    }
  }

  std::vector<std::string_view> lines_;
  size_t at_ = 0;
  std::vector<Level> levels_;
  std::vector<Comment> comments_;  // Read, not yet written.
  bool blank_ = false;             // An empty line came since the last that was written.
  std::string out_;
};

}  // namespace

StatusOr<std::string> LayOut(std::string_view text) { return Layout(text).Run(); }

}  // namespace countersign::authz::yaml
