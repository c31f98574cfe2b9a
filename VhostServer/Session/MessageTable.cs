using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;

namespace Paravane.VhostServer.Session;

/// <summary>The policy of all requests. Requests that are not served have a row too, so that a malformed one is told from a refused one.</summary>
internal static class MessageTable
{
    private const int State = 8, Word = 8, Address = 40, TableHeader = 8, SingleRegion = 40, Log = 16, Inflight = 24;

    // A config payload that is a little too long is refused by its handler, a much longer one is no config payload.
    private const int LongestConfig = ConfigHeader.SizeInBytes + (2 * ConfigHeader.MaxSpaceBytes);

    private static readonly MessageRow?[] s_rows = Build();

    /// <summary>The row of <paramref name="request"/>, or null for a number that means nothing.</summary>
    public static MessageRow? Find(FrontendRequest request) => (uint)request < (uint)s_rows.Length ? s_rows[(uint)request] : null;

    /// <summary>Wire name of a request.</summary>
    public static string NameOf(FrontendRequest request) => Find(request)?.Name ?? $"request {(uint)request}";

    private static MessageRow?[] Build()
    {
        var rows = new MessageRow?[(int)FrontendRequest.GetShmemConfig + 1];

        void Row(FrontendRequest request, string name, (int Min, int Max) bytes, (int Min, int Max) descriptors, ProtocolFeatures needs, RefusalForm refusal,
            Action<VhostSession, Message>? handler) =>
            rows[(int)request] = new MessageRow(name, bytes.Min, bytes.Max, descriptors.Min, descriptors.Max, needs, refusal, handler);

        void Served(FrontendRequest request, string name, int bytes, ProtocolFeatures needs, Action<VhostSession, Message> handler, int descriptors = 0) =>
            Row(request, name, (bytes, bytes), (descriptors, descriptors), needs, RefusalForm.Acknowledgement, handler);

        void Asked(FrontendRequest request, string name, int bytes, ProtocolFeatures needs, Action<VhostSession, Message> handler) =>
            Row(request, name, (bytes, bytes), (0, 0), needs, RefusalForm.ImpossibleNumber, handler);

        void Refused(FrontendRequest request, string name, int bytes, ProtocolFeatures needs, RefusalForm refusal = RefusalForm.Acknowledgement, int descriptors = 0) =>
            Row(request, name, (bytes, bytes), (descriptors, descriptors), needs, refusal, null);

        Asked(FrontendRequest.GetFeatures, "GET_FEATURES", 0, ProtocolFeatures.None, static (s, _) => s.GetFeatures());
        Served(FrontendRequest.SetFeatures, "SET_FEATURES", Word, ProtocolFeatures.None, static (s, m) => s.SetFeatures(m));
        Served(FrontendRequest.SetOwner, "SET_OWNER", 0, ProtocolFeatures.None, static (_, _) => { });
        Served(FrontendRequest.ResetOwner, "RESET_OWNER", 0, ProtocolFeatures.None, static (s, _) => s.ResetOwner());
        Row(FrontendRequest.SetMemTable, "SET_MEM_TABLE", (TableHeader, MessageHeader.MaxPayloadBytes), (0, MessageHeader.MaxDescriptors),
            ProtocolFeatures.None, RefusalForm.Acknowledgement, static (s, m) => s.SetMemTable(m));
        Row(FrontendRequest.SetLogBase, "SET_LOG_BASE", (Word, Log), (0, 1), ProtocolFeatures.LogShmFd, RefusalForm.Close,
            static (s, m) => s.SetLogBase(m));
        Served(FrontendRequest.SetLogFd, "SET_LOG_FD", 0, ProtocolFeatures.None, static (s, m) => s.SetLogFd(m), descriptors: 1);
        Served(FrontendRequest.SetVringNum, "SET_VRING_NUM", State, ProtocolFeatures.None, static (s, m) => s.SetVringNum(m));
        Served(FrontendRequest.SetVringAddr, "SET_VRING_ADDR", Address, ProtocolFeatures.None, static (s, m) => s.SetVringAddr(m));
        Served(FrontendRequest.SetVringBase, "SET_VRING_BASE", State, ProtocolFeatures.None, static (s, m) => s.SetVringBase(m));
        Asked(FrontendRequest.GetVringBase, "GET_VRING_BASE", State, ProtocolFeatures.None, static (s, m) => s.GetVringBase(m));
        Row(FrontendRequest.SetVringKick, "SET_VRING_KICK", (Word, Word), (0, 1), ProtocolFeatures.None, RefusalForm.Acknowledgement, static (s, m) => s.SetVringKick(m));
        Row(FrontendRequest.SetVringCall, "SET_VRING_CALL", (Word, Word), (0, 1), ProtocolFeatures.None, RefusalForm.Acknowledgement, static (s, m) => s.SetVringCall(m));
        Row(FrontendRequest.SetVringErr, "SET_VRING_ERR", (Word, Word), (0, 1), ProtocolFeatures.None, RefusalForm.Acknowledgement, static (s, m) => s.SetVringErr(m));
        Asked(FrontendRequest.GetProtocolFeatures, "GET_PROTOCOL_FEATURES", 0, ProtocolFeatures.None, static (s, _) => s.GetProtocolFeatures());
        Served(FrontendRequest.SetProtocolFeatures, "SET_PROTOCOL_FEATURES", Word, ProtocolFeatures.None, static (s, m) => s.SetProtocolFeatures(m));
        Asked(FrontendRequest.GetQueueNum, "GET_QUEUE_NUM", 0, ProtocolFeatures.Mq, static (s, _) => s.GetQueueNum());
        Served(FrontendRequest.SetVringEnable, "SET_VRING_ENABLE", State, ProtocolFeatures.None, static (s, m) => s.SetVringEnable(m));
        Served(FrontendRequest.SendRarp, "SEND_RARP", Word, ProtocolFeatures.Rarp, static (s, m) => s.SendRarp(m));
        Served(FrontendRequest.NetSetMtu, "NET_SET_MTU", Word, ProtocolFeatures.Mtu, static (s, m) => s.SetMtu(m));
        Served(FrontendRequest.SetBackendReqFd, "SET_BACKEND_REQ_FD", 0, ProtocolFeatures.BackendReq, static (s, m) => s.SetBackendReqFd(m), descriptors: 1);
        Refused(FrontendRequest.IotlbMsg, "IOTLB_MSG", 32, ProtocolFeatures.None, RefusalForm.Number);
        Refused(FrontendRequest.SetVringEndian, "SET_VRING_ENDIAN", State, ProtocolFeatures.CrossEndian);
        Row(FrontendRequest.GetConfig, "GET_CONFIG", (ConfigHeader.SizeInBytes, LongestConfig), (0, 0), ProtocolFeatures.Config, RefusalForm.Empty,
            static (s, m) => s.GetConfig(m));
        Row(FrontendRequest.SetConfig, "SET_CONFIG", (ConfigHeader.SizeInBytes, LongestConfig), (0, 0), ProtocolFeatures.Config, RefusalForm.Acknowledgement,
            static (s, m) => s.SetConfig(m));
        Row(FrontendRequest.CreateCryptoSession, "CREATE_CRYPTO_SESSION", (0, MessageHeader.MaxPayloadBytes), (0, 0), ProtocolFeatures.CryptoSession,
            RefusalForm.Close, null);
        Refused(FrontendRequest.CloseCryptoSession, "CLOSE_CRYPTO_SESSION", Word, ProtocolFeatures.CryptoSession);
        Refused(FrontendRequest.PostcopyAdvise, "POSTCOPY_ADVISE", 0, ProtocolFeatures.PageFault, RefusalForm.ImpossibleNumber);
        Refused(FrontendRequest.PostcopyListen, "POSTCOPY_LISTEN", 0, ProtocolFeatures.PageFault);
        Refused(FrontendRequest.PostcopyEnd, "POSTCOPY_END", 0, ProtocolFeatures.PageFault, RefusalForm.Number);
        Row(FrontendRequest.GetInflightFd, "GET_INFLIGHT_FD", (InflightArea.UnpaddedBytes, Inflight), (0, 0), ProtocolFeatures.InflightShmFd,
            RefusalForm.InflightArea, static (s, m) => s.GetInflightFd(m));
        Row(FrontendRequest.SetInflightFd, "SET_INFLIGHT_FD", (InflightArea.UnpaddedBytes, Inflight), (1, 1), ProtocolFeatures.InflightShmFd,
            RefusalForm.Acknowledgement, static (s, m) => s.SetInflightFd(m));
        Refused(FrontendRequest.GpuSetSocket, "GPU_SET_SOCKET", 0, ProtocolFeatures.None, descriptors: 1);
        Served(FrontendRequest.ResetDevice, "RESET_DEVICE", 0, ProtocolFeatures.ResetDevice, static (s, _) => s.ResetDevice());
        Refused(FrontendRequest.VringKick, "VRING_KICK", State, ProtocolFeatures.InbandNotifications);
        Asked(FrontendRequest.GetMaxMemSlots, "GET_MAX_MEM_SLOTS", 0, ProtocolFeatures.ConfigureMemSlots, static (s, _) => s.GetMaxMemSlots());
        Served(FrontendRequest.AddMemReg, "ADD_MEM_REG", SingleRegion, ProtocolFeatures.ConfigureMemSlots, static (s, m) => s.AddMemReg(m), descriptors: 1);
        Row(FrontendRequest.RemMemReg, "REM_MEM_REG", (SingleRegion, SingleRegion), (0, 1), ProtocolFeatures.ConfigureMemSlots, RefusalForm.Acknowledgement,
            static (s, m) => s.RemMemReg(m));
        Served(FrontendRequest.SetStatus, "SET_STATUS", Word, ProtocolFeatures.Status, static (s, m) => s.SetStatus(m));
        Asked(FrontendRequest.GetStatus, "GET_STATUS", 0, ProtocolFeatures.Status, static (s, _) => s.GetStatus());
        Row(FrontendRequest.GetSharedObject, "GET_SHARED_OBJECT", (0, 16), (0, 0), ProtocolFeatures.SharedObject, RefusalForm.Empty, null);
        Refused(FrontendRequest.SetDeviceStateFd, "SET_DEVICE_STATE_FD", 8, ProtocolFeatures.DeviceState, RefusalForm.Number, descriptors: 1);
        Refused(FrontendRequest.CheckDeviceState, "CHECK_DEVICE_STATE", 0, ProtocolFeatures.DeviceState, RefusalForm.Number);
        Refused(FrontendRequest.GetShmemConfig, "GET_SHMEM_CONFIG", 0, ProtocolFeatures.ShmemMap, RefusalForm.ImpossibleNumber);
        return rows;
    }
}
