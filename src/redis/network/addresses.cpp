#include "redis/network/addresses.h"

#include <cstring>

namespace ai_limit {

namespace {

int compare(const struct sockaddr* a, socklen_t a_size, const struct sockaddr* b,
            socklen_t b_size) {
    if (a->sa_family != b->sa_family || a_size != b_size) {
        return a->sa_family < b->sa_family ? -1 : 1;
    }
    // Other fields than family, port and address are zero in the answers of a resolver.
    return std::memcmp(a, b, a_size);
}

}  // namespace

void Addresses::init(const RedisEndpoint* endpoint, void (*done)(void* data), void* data) {
    endpoint_ = endpoint;
    done_ = done;
    data_ = data;
    posted_.addresses = this;
    posted_.event.handler = on_posted;
    posted_.event.log = ngx_cycle->log;
    for (ngx_uint_t i = 0; i < endpoint->count; ++i) {
        add(endpoint->addresses[i].sockaddr, endpoint->addresses[i].socklen);
    }
}

/** Keeps the addresses in order, so that all nginx try the same one first. */
void Addresses::add(const struct sockaddr* address, socklen_t size) {
    if (count_ == kMost || size > sizeof(ngx_sockaddr_t)) {
        return;
    }
    size_t place = count_++;
    for (; place != 0 &&
           compare(address, size, &addresses_[place - 1].sockaddr, sizes_[place - 1]) < 0;
         --place) {
        addresses_[place] = addresses_[place - 1];
        sizes_[place] = sizes_[place - 1];
    }
    std::memcpy(&addresses_[place], address, size);
    sizes_[place] = size;
}

ngx_addr_t Addresses::at(size_t i) {
    ngx_addr_t address{};
    address.sockaddr = &addresses_[i % count_].sockaddr;
    address.socklen = sizes_[i % count_];
    address.name = endpoint_->name;
    return address;
}

void Addresses::take(const ngx_resolver_ctx_t& context) {
    count_ = 0;
    for (ngx_uint_t i = 0; i < context.naddrs; ++i) {
        ngx_sockaddr_t socket{};
        socklen_t size = ngx_min(context.addrs[i].socklen, socklen_t{sizeof(socket)});
        std::memcpy(&socket, context.addrs[i].sockaddr, size);
        ngx_inet_set_port(&socket.sockaddr, endpoint_->port);
        add(&socket.sockaddr, size);
    }
}

bool Addresses::ask(ngx_msec_t timeout, bool holds_worker) {
    error_ = nullptr;
    if (endpoint_->resolver == nullptr) {
        return true;
    }
    ngx_resolver_ctx_t* context = ngx_resolve_start(endpoint_->resolver, nullptr);
    if (context == nullptr || context == NGX_NO_RESOLVER) {
        error_ = "no memory";
        return true;
    }
    size_t size = ngx_min(endpoint_->host.len, sizeof(host_));
    std::memcpy(host_, endpoint_->host.data, size);
    context->name = {size, host_};
    context->handler = on_answer;
    context->data = this;
    context->timeout = timeout;
    context->cancelable = !holds_worker;
    context_ = context;
    if (ngx_resolve_name(context) != NGX_OK) {
        context_ = nullptr;  // nginx has freed it
        error_ = "asking failed";
    }
    return context_ == nullptr;
}

// nginx may be on its way through all who wait for this name. What the answer leads to could end
// one of them, so that comes later.
void Addresses::on_answer(ngx_resolver_ctx_t* context) {
    Addresses* self = static_cast<Addresses*>(context->data);
    bool later = context->async;
    if (context->state == NGX_OK) {
        self->take(*context);
    } else {
        self->error_ = ngx_resolver_strerror(context->state);
    }
    self->context_ = nullptr;
    ngx_resolve_name_done(context);
    if (later) {
        ngx_post_event(&self->posted_.event, &ngx_posted_events);
    }
}

void Addresses::on_posted(ngx_event_t* event) {
    Addresses* self = reinterpret_cast<Posted*>(event)->addresses;
    self->done_(self->data_);
}

void Addresses::hold_worker() {
    if (context_ != nullptr && context_->event != nullptr) {
        context_->event->cancelable = 0;
    }
}

void Addresses::cancel() {
    if (context_ != nullptr) {
        ngx_resolve_name_done(context_);
        context_ = nullptr;
    }
    if (posted_.event.posted) {
        ngx_delete_posted_event(&posted_.event);
    }
}

}  // namespace ai_limit
