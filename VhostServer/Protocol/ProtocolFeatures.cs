namespace Paravane.VhostServer.Protocol;

/// <summary>Protocol features (vhost-user: GET_PROTOCOL_FEATURES), <c>VHOST_USER_PROTOCOL_F_*</c>.</summary>
[Flags]
public enum ProtocolFeatures : ulong
{
    /// <summary>No bit.</summary>
    None = 0,

    /// <summary>GET_QUEUE_NUM.</summary>
    Mq = 1UL << 0,

    /// <summary>A descriptor with SET_LOG_BASE, and a reply to it.</summary>
    LogShmFd = 1UL << 1,

    /// <summary>SEND_RARP.</summary>
    Rarp = 1UL << 2,

    /// <summary>The need-reply flag.</summary>
    ReplyAck = 1UL << 3,

    /// <summary>NET_SET_MTU.</summary>
    Mtu = 1UL << 4,

    /// <summary>SET_BACKEND_REQ_FD and the channel behind it.</summary>
    BackendReq = 1UL << 5,

    /// <summary>SET_VRING_ENDIAN.</summary>
    CrossEndian = 1UL << 6,

    /// <summary>Crypto sessions.</summary>
    CryptoSession = 1UL << 7,

    /// <summary>Postcopy migration.</summary>
    PageFault = 1UL << 8,

    /// <summary>GET_CONFIG, SET_CONFIG, CONFIG_CHANGE_MSG.</summary>
    Config = 1UL << 9,

    /// <summary>Descriptors on the back-end channel.</summary>
    BackendSendFd = 1UL << 10,

    /// <summary>VRING_HOST_NOTIFIER_MSG.</summary>
    HostNotifier = 1UL << 11,

    /// <summary>GET_INFLIGHT_FD, SET_INFLIGHT_FD.</summary>
    InflightShmFd = 1UL << 12,

    /// <summary>RESET_DEVICE.</summary>
    ResetDevice = 1UL << 13,

    /// <summary>VRING_KICK, VRING_CALL and VRING_ERR in place of eventfds.</summary>
    InbandNotifications = 1UL << 14,

    /// <summary>GET_MAX_MEM_SLOTS, ADD_MEM_REG, REM_MEM_REG.</summary>
    ConfigureMemSlots = 1UL << 15,

    /// <summary>SET_STATUS, GET_STATUS.</summary>
    Status = 1UL << 16,

    /// <summary>Longer memory regions for Xen.</summary>
    XenMmap = 1UL << 17,

    /// <summary>Shared objects.</summary>
    SharedObject = 1UL << 18,

    /// <summary>SET_DEVICE_STATE_FD, CHECK_DEVICE_STATE.</summary>
    DeviceState = 1UL << 19,

    /// <summary>GET_VRING_BASE suspends and leaves requests in the inflight record.</summary>
    GetVringBaseInflight = 1UL << 20,

    /// <summary>Ring and region addresses are guest addresses.</summary>
    GpaAddresses = 1UL << 21,

    /// <summary>GET_SHMEM_CONFIG and the shared memory requests.</summary>
    ShmemMap = 1UL << 22,
}
