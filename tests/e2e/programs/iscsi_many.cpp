// iscsi-many FILE: one initiator for each line `URL SHA256` of FILE, all at once, in one thread. All of them log in;
// "ready" is printed; after a line on stdin each reads its disk whole, four commands outstanding, and compares the
// digest. Exit 0 when all are right. No reconnecting: a dropped connection is a failure.
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <openssl/evp.h>
#include <poll.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

constexpr std::uint32_t read_bytes = 128 << 10;
constexpr unsigned most_outstanding = 4;

/// One session and its reading. Callbacks run inside iscsi_service().
class initiator {
public:
    initiator(const std::string& address, std::string wanted, std::size_t number) : wanted_(std::move(wanted)) {
        const std::string name = "iqn.2026-11.io.overlaybd.test:many-" + std::to_string(number);
        context_ = iscsi_create_context(name.c_str());
        iscsi_set_noautoreconnect(context_, 1);
        iscsi_url* url = iscsi_parse_full_url(context_, address.c_str());
        if (url == nullptr) {
            end(iscsi_get_error(context_));
            return;
        }
        iscsi_set_targetname(context_, url->target);
        iscsi_set_session_type(context_, ISCSI_SESSION_NORMAL);
        lun_ = url->lun;
        if (iscsi_full_connect_async(context_, url->portal, lun_, &initiator::on_login, this) != 0)
            end(iscsi_get_error(context_));
        iscsi_destroy_url(url);
    }
    initiator(const initiator&) = delete;
    initiator& operator=(const initiator&) = delete;
    ~initiator() {
        iscsi_destroy_context(context_);
        EVP_MD_CTX_free(hash_);
    }

    bool logged_in() const { return logged_in_; }
    bool ended() const { return ended_; }
    const std::string& error() const { return error_; }
    pollfd wanted_events() const {
        return {iscsi_get_fd(context_), static_cast<short>(iscsi_which_events(context_)), 0};
    }
    void service(int events) {
        if (!ended_ && iscsi_service(context_, events) < 0) end(iscsi_get_error(context_));
    }

    void start_reading() {
        EVP_DigestInit_ex(hash_, EVP_sha256(), nullptr);
        scsi_task* task = iscsi_readcapacity16_task(context_, lun_, &initiator::on_capacity, this);
        if (task == nullptr) end(iscsi_get_error(context_));
    }

private:
    struct read {
        initiator* owner;
        std::uint64_t offset;
    };

    static initiator& self(void* data) { return *static_cast<initiator*>(data); }

    static void on_login(iscsi_context*, int status, void*, void* data) {
        if (status != SCSI_STATUS_GOOD) return self(data).end("login failed");
        self(data).logged_in_ = true;
    }

    static void on_capacity(iscsi_context*, int status, void* command, void* data) {
        auto* task = static_cast<scsi_task*>(command);
        auto* capacity =
            status == SCSI_STATUS_GOOD ? static_cast<scsi_readcapacity16*>(scsi_datain_unmarshall(task)) : nullptr;
        if (capacity == nullptr) {
            self(data).end("READ CAPACITY failed");
        } else {
            self(data).block_bytes_ = capacity->block_length;
            self(data).size_ = (capacity->returned_lba + 1) * capacity->block_length;
            self(data).ask();
        }
        scsi_free_scsi_task(task);
    }

    static void on_data(iscsi_context*, int status, void* command, void* data) {
        const std::unique_ptr<read> request(static_cast<read*>(data));
        auto* task = static_cast<scsi_task*>(command);
        initiator& owner = *request->owner;
        --owner.outstanding_;
        if (status != SCSI_STATUS_GOOD) {
            owner.end("a read failed: " + std::string(iscsi_get_error(owner.context_)));
        } else {
            const unsigned char* bytes = task->datain.data;
            owner.ready_[request->offset] = {bytes, bytes + task->datain.size};
            owner.digest_what_is_there();
            owner.ask();
        }
        scsi_free_scsi_task(task);
    }

    void ask() {
        while (!ended_ && outstanding_ < most_outstanding && asked_ < size_) {
            const auto bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(read_bytes, size_ - asked_));
            auto request = std::make_unique<read>(read{this, asked_});
            if (iscsi_read16_task(context_, lun_, asked_ / block_bytes_, bytes, static_cast<int>(block_bytes_), 0, 0, 0,
                                  0, 0, &initiator::on_data, request.get()) == nullptr)
                return end(iscsi_get_error(context_));
            request.release();  // on_data takes it
            asked_ += bytes;
            ++outstanding_;
        }
    }

    void digest_what_is_there() {
        for (auto next = ready_.find(digested_); next != ready_.end(); next = ready_.find(digested_)) {
            EVP_DigestUpdate(hash_, next->second.data(), next->second.size());
            digested_ += next->second.size();
            ready_.erase(next);
        }
        if (digested_ == size_) finish();
    }

    void finish() {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned length = 0;
        EVP_DigestFinal_ex(hash_, digest, &length);
        std::string got;
        for (unsigned i = 0; i < length; ++i) {
            char pair[3];
            std::snprintf(pair, sizeof pair, "%02x", static_cast<unsigned>(digest[i]));
            got += pair;
        }
        end(got == wanted_ ? "" : "the digest is " + got + ", not " + wanted_);
    }

    void end(std::string error) {
        if (ended_) return;
        ended_ = true;
        error_ = std::move(error);
    }

    iscsi_context* context_ = nullptr;
    EVP_MD_CTX* hash_ = EVP_MD_CTX_new();
    std::string wanted_, error_;
    int lun_ = 0;
    bool logged_in_ = false, ended_ = false;
    unsigned outstanding_ = 0;
    std::uint64_t size_ = 0, asked_ = 0, digested_ = 0;
    std::uint32_t block_bytes_ = 512;
    std::map<std::uint64_t, std::vector<unsigned char>> ready_;
};

using crowd = std::vector<std::unique_ptr<initiator>>;

/// Serves all sockets until `done` says so of every initiator.
template <typename Predicate>
void serve_until(crowd& all, Predicate done) {
    for (;;) {
        std::vector<pollfd> sockets;
        std::vector<initiator*> owners;
        bool waiting = false;
        for (auto& one : all) {
            waiting |= !done(*one);
            if (one->ended()) continue;
            sockets.push_back(one->wanted_events());
            owners.push_back(one.get());
        }
        if (!waiting) return;
        poll(sockets.data(), sockets.size(), 1000);
        for (std::size_t i = 0; i < sockets.size(); ++i) {
            if (sockets[i].revents != 0) owners[i]->service(sockets[i].revents);
        }
    }
}

}  // namespace

int main(int count, char** words) {
    std::ifstream lines(count == 2 ? words[1] : "");
    crowd all;
    std::string address, digest;
    while (lines >> address >> digest) all.push_back(std::make_unique<initiator>(address, digest, all.size()));
    if (all.empty()) {
        std::fprintf(stderr, "iscsi-many FILE, with lines `URL SHA256`\n");
        return 2;
    }
    serve_until(all, [](const initiator& one) { return one.logged_in() || one.ended(); });
    std::cout << "ready" << std::endl;
    std::string go;
    std::getline(std::cin, go);
    for (auto& one : all) {
        if (!one->ended()) one->start_reading();
    }
    serve_until(all, [](const initiator& one) { return one.ended(); });
    int wrong = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (all[i]->error().empty()) continue;
        std::cout << "initiator " << i << ": " << all[i]->error() << "\n";
        ++wrong;
    }
    std::cout << all.size() << " initiators, " << wrong << " wrong" << std::endl;
    return wrong == 0 ? 0 : 1;
}
