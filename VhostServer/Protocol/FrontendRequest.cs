namespace Paravane.VhostServer.Protocol;

/// <summary>Requests from front-end to back-end. The comment of each is its payload; names follow <c>VHOST_USER_*</c>.</summary>
public enum FrontendRequest : uint
{
    /// <summary>Not a request.</summary>
    None = 0,

    /// <summary>Empty. Reply: u64.</summary>
    GetFeatures = 1,

    /// <summary>u64.</summary>
    SetFeatures = 2,

    /// <summary>Empty.</summary>
    SetOwner = 3,

    /// <summary>Empty. Obsolete.</summary>
    ResetOwner = 4,

    /// <summary><see cref="MemoryTableHeader"/>, then that many <see cref="MemoryRegion"/>, one descriptor each.</summary>
    SetMemTable = 5,

    /// <summary><see cref="LogArea"/> and one descriptor. Reply: the same <see cref="LogArea"/>.</summary>
    SetLogBase = 6,

    /// <summary>Empty, one descriptor.</summary>
    SetLogFd = 7,

    /// <summary><see cref="VringState"/>: queue size in descriptors.</summary>
    SetVringNum = 8,

    /// <summary><see cref="VringAddress"/>.</summary>
    SetVringAddr = 9,

    /// <summary><see cref="VringState"/>: see <see cref="VirtioQueues.QueueState"/>.</summary>
    SetVringBase = 10,

    /// <summary><see cref="VringState"/>. Reply: the same with the base. Stops the ring.</summary>
    GetVringBase = 11,

    /// <summary><see cref="VringDescriptor"/>. Starts the ring.</summary>
    SetVringKick = 12,

    /// <summary><see cref="VringDescriptor"/>.</summary>
    SetVringCall = 13,

    /// <summary><see cref="VringDescriptor"/>.</summary>
    SetVringErr = 14,

    /// <summary>Empty. Reply: u64, <see cref="Protocol.ProtocolFeatures"/>.</summary>
    GetProtocolFeatures = 15,

    /// <summary>u64, <see cref="Protocol.ProtocolFeatures"/>.</summary>
    SetProtocolFeatures = 16,

    /// <summary>Empty. Reply: u64.</summary>
    GetQueueNum = 17,

    /// <summary><see cref="VringState"/>: 0 or 1.</summary>
    SetVringEnable = 18,

    /// <summary>u64, MAC in bytes 0–5.</summary>
    SendRarp = 19,

    /// <summary>u64, MTU in bytes.</summary>
    NetSetMtu = 20,

    /// <summary>Empty, one descriptor: the back-end channel.</summary>
    SetBackendReqFd = 21,

    /// <summary>IOTLB message, 32 bytes. Reply: u64.</summary>
    IotlbMsg = 22,

    /// <summary><see cref="VringState"/>: 0 little, 1 big.</summary>
    SetVringEndian = 23,

    /// <summary><see cref="ConfigHeader"/> and that many bytes. Reply: the same, or empty for a failure.</summary>
    GetConfig = 24,

    /// <summary><see cref="ConfigHeader"/> and that many bytes.</summary>
    SetConfig = 25,

    /// <summary>Crypto session. Reply: the same.</summary>
    CreateCryptoSession = 26,

    /// <summary>u64.</summary>
    CloseCryptoSession = 27,

    /// <summary>Empty. Reply: empty with one descriptor.</summary>
    PostcopyAdvise = 28,

    /// <summary>Empty.</summary>
    PostcopyListen = 29,

    /// <summary>Empty. Reply: u64.</summary>
    PostcopyEnd = 30,

    /// <summary><see cref="InflightArea"/>. Reply: the same with one descriptor.</summary>
    GetInflightFd = 31,

    /// <summary><see cref="InflightArea"/> and one descriptor.</summary>
    SetInflightFd = 32,

    /// <summary>Empty, one descriptor.</summary>
    GpuSetSocket = 33,

    /// <summary>Empty.</summary>
    ResetDevice = 34,

    /// <summary><see cref="VringState"/>.</summary>
    VringKick = 35,

    /// <summary>Empty. Reply: u64.</summary>
    GetMaxMemSlots = 36,

    /// <summary><see cref="SingleMemoryRegion"/> and one descriptor.</summary>
    AddMemReg = 37,

    /// <summary><see cref="SingleMemoryRegion"/>.</summary>
    RemMemReg = 38,

    /// <summary>u64, virtio status byte.</summary>
    SetStatus = 39,

    /// <summary>Empty. Reply: u64, virtio status byte.</summary>
    GetStatus = 40,

    /// <summary>UUID, 16 bytes; QEMU sends it empty.</summary>
    GetSharedObject = 41,

    /// <summary>Direction and phase, 8 bytes, one descriptor. Reply: u64.</summary>
    SetDeviceStateFd = 42,

    /// <summary>Empty. Reply: u64.</summary>
    CheckDeviceState = 43,

    /// <summary>Empty. Reply: 2056 bytes.</summary>
    GetShmemConfig = 44,
}
