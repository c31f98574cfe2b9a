using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Session;

/// <content>Config space, the back-end channel, and what only network devices know.</content>
internal sealed partial class VhostSession
{
    /// <summary>GET_CONFIG. Zeroes past the end of the device's space, as long as the range fits into the 256 bytes of the protocol.</summary>
    public void GetConfig(Message message)
    {
        ConfigHeader header = ReadConfigHeader(message);
        MemoryMarshal.Write(_reply, in header);
        Span<byte> bytes = _reply.AsSpan(ConfigHeader.SizeInBytes, (int)header.SizeBytes);
        bytes.Clear();
        int inside = Math.Clamp(_traits.ConfigSizeBytes - (int)header.OffsetBytes, 0, bytes.Length);
        if (inside != 0)
        {
            _device.ReadConfig((int)header.OffsetBytes, bytes[..inside]);
        }

        _replyBytes = ConfigHeader.SizeInBytes + bytes.Length;
    }

    /// <summary>SET_CONFIG.</summary>
    public void SetConfig(Message message)
    {
        ConfigHeader header = ReadConfigHeader(message);
        if (header.Flags is not (ConfigFlags.Guest or ConfigFlags.Migration))
        {
            Refused($"flags 0x{(uint)header.Flags:x} are not defined");
        }

        if (header.OffsetBytes + header.SizeBytes > _traits.ConfigSizeBytes)
        {
            Refused($"0x{header.SizeBytes:x} bytes at 0x{header.OffsetBytes:x} reach over the end of the space (0x{_traits.ConfigSizeBytes:x})");
        }

        // Some front-ends say «migration» for writes of the guest too: with a ring running it cannot be one.
        bool isRestoring = header.Flags == ConfigFlags.Migration && !IsAnyRunning;
        if (_device.TryWriteConfig((int)header.OffsetBytes, message.Payload[ConfigHeader.SizeInBytes..], isRestoring) is { } error)
        {
            Refused(error);
        }
    }

    /// <summary>SET_BACKEND_REQ_FD.</summary>
    public void SetBackendReqFd(Message message)
    {
        if (!FileStatus.Of(message.Descriptors.Peek(0)).IsSocket)
        {
            Refused("the descriptor is not a socket");
        }

        _channel?.Dispose();
        _channel = new BackendChannel(UnixSocket.From(message.Descriptors.Take(0)));
    }

    /// <summary>NET_SET_MTU.</summary>
    public void SetMtu(Message message)
    {
        ulong mtuBytes = message.Read<ulong>();
        if (_device is not INetworkPort port || !port.TrySetMtu(mtuBytes))
        {
            Refused($"the device cannot carry an MTU of {mtuBytes}");
        }
    }

    /// <summary>SEND_RARP.</summary>
    public void SendRarp(Message message)
    {
        if (_device is INetworkPort port)
        {
            port.AnnounceByRarp(message.Payload[..6]);
        }
    }

    private ConfigHeader ReadConfigHeader(Message message)
    {
        ConfigHeader header = message.Read<ConfigHeader>();
        if (header.OffsetBytes > ConfigHeader.MaxSpaceBytes || header.SizeBytes > ConfigHeader.MaxSpaceBytes - header.OffsetBytes)
        {
            Refused($"0x{header.SizeBytes:x} bytes at 0x{header.OffsetBytes:x} do not fit into {ConfigHeader.MaxSpaceBytes} bytes");
        }

        if (message.Payload.Length != ConfigHeader.SizeInBytes + header.SizeBytes)
        {
            Refused($"{message.Payload.Length} bytes of payload do not match a size of 0x{header.SizeBytes:x}");
        }

        return header;
    }
}
