using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Frontend;

/// <summary>The front-end's end of one vhost-user connection: what a hypervisor says to the process that serves a device.</summary>
/// <remarks>
/// One thread at a time. Every request that can be acknowledged asks for it once REPLY_ACK is negotiated, so that a refusal is an error here and now.
/// After an error of the protocol the connection is given up: the back-end counts as dead (threats H1, H2).
/// </remarks>
public sealed partial class VhostUserFrontend : IDisposable
{
    private readonly FrontendSocket _socket;
    private readonly FrontendOptions _options;

    private VhostUserFrontend(FrontendSocket socket, FrontendOptions? options)
    {
        _socket = socket;
        _options = options ?? new FrontendOptions();
    }

    /// <summary>Features that the back-end offers: GET_FEATURES.</summary>
    public ulong OfferedFeatures { get; private set; }

    /// <summary>Features in force: the last <see cref="SetFeatures"/>.</summary>
    public ulong Features { get; private set; }

    /// <summary>Protocol features that the back-end offers.</summary>
    public ProtocolFeatures OfferedProtocolFeatures { get; private set; }

    /// <summary>Protocol features in force.</summary>
    public ProtocolFeatures ProtocolFeatures { get; private set; }

    /// <summary>Answer to GET_QUEUE_NUM (queues or pairs: back-ends differ), or null when it cannot be asked.</summary>
    public ulong? QueueCount { get; private set; }

    /// <summary>Memory regions that the back-end takes: GET_MAX_MEM_SLOTS, or the 8 of SET_MEM_TABLE.</summary>
    public ulong MemorySlots { get; private set; } = 8;

    /// <summary>Connects to the back-end that listens at <paramref name="path"/> and negotiates up to SET_OWNER.</summary>
    /// <exception cref="FrontendException">Nobody listens, or what listens does not speak vhost-user.</exception>
    public static VhostUserFrontend Connect(string path, FrontendOptions? options = null) => Attach(FrontendSocket.Open(path), options);

    /// <summary>The same over a connected socket, which it owns from now on.</summary>
    /// <exception cref="FrontendException">The other end does not speak vhost-user.</exception>
    public static VhostUserFrontend Attach(UnixSocket connected, FrontendOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(connected);
        var frontend = new VhostUserFrontend(new FrontendSocket(connected), options);
        try
        {
            frontend.Negotiate();
            return frontend;
        }
        catch
        {
            frontend.Dispose();
            throw;
        }
    }

    /// <summary>True when all of <paramref name="features"/> were negotiated.</summary>
    public bool Has(ProtocolFeatures features) => (ProtocolFeatures & features) == features;

    /// <summary>SET_FEATURES. PROTOCOL_FEATURES is added where it was offered.</summary>
    /// <exception cref="ArgumentException">A bit was not offered.</exception>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetFeatures(ulong features)
    {
        features |= OfferedFeatures & VirtioFeatures.ProtocolFeatures;
        ulong missing = features & ~OfferedFeatures;
        if (missing != 0)
        {
            throw new ArgumentException($"features 0x{missing:x} are not offered");
        }

        Command(FrontendRequest.SetFeatures, features);
        Features = features;
    }

    /// <summary>SET_STATUS, where STATUS is negotiated; otherwise nothing.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetStatus(VirtioStatus status)
    {
        if (Has(ProtocolFeatures.Status))
        {
            Command(FrontendRequest.SetStatus, (ulong)status);
        }
    }

    /// <summary>GET_STATUS.</summary>
    /// <exception cref="FrontendException">STATUS is not negotiated, or the reply is wrong.</exception>
    public VirtioStatus GetStatus()
    {
        Require(ProtocolFeatures.Status, FrontendRequest.GetStatus);
        return (VirtioStatus)Ask(FrontendRequest.GetStatus);
    }

    /// <summary>RESET_DEVICE.</summary>
    /// <exception cref="FrontendException">RESET_DEVICE is not negotiated, or it was refused.</exception>
    public void ResetDevice()
    {
        Require(ProtocolFeatures.ResetDevice, FrontendRequest.ResetDevice);
        Command(FrontendRequest.ResetDevice, ReadOnlySpan<byte>.Empty);
    }

    /// <summary>NET_SET_MTU.</summary>
    /// <exception cref="FrontendException">MTU is not negotiated, or the back-end refused the value.</exception>
    public void SetMtu(int mtu)
    {
        Require(ProtocolFeatures.Mtu, FrontendRequest.NetSetMtu);
        Command(FrontendRequest.NetSetMtu, (ulong)mtu);
    }

    /// <summary>GET_CONFIG.</summary>
    /// <exception cref="FrontendException">CONFIG is not negotiated, or the back-end refused the range.</exception>
    public byte[] ReadConfig(int offsetBytes, int lengthBytes)
    {
        Require(ProtocolFeatures.Config, FrontendRequest.GetConfig);
        byte[] payload = new byte[ConfigHeader.SizeInBytes + lengthBytes];
        MemoryMarshal.Write(payload, new ConfigHeader((uint)offsetBytes, (uint)lengthBytes, ConfigFlags.Guest));
        Send(FrontendRequest.GetConfig, payload, [], needReply: false);
        byte[] reply = ReceiveReply(FrontendRequest.GetConfig, payload.Length, orEmpty: true, _options.ReplyTimeout);
        if (reply.Length == 0)
        {
            throw new FrontendException($"GET_CONFIG: the back-end refused {lengthBytes} bytes from {offsetBytes} on");
        }

        ConfigHeader header = MemoryMarshal.Read<ConfigHeader>(reply);
        if (header.OffsetBytes != offsetBytes || header.SizeBytes != lengthBytes)
        {
            throw GiveUp($"GET_CONFIG: asked for {lengthBytes} bytes from {offsetBytes} on, the reply holds {header.SizeBytes} from {header.OffsetBytes} on");
        }

        return reply[ConfigHeader.SizeInBytes..];
    }

    /// <summary>SET_CONFIG, as a write of the guest.</summary>
    /// <exception cref="FrontendException">CONFIG is not negotiated, or the back-end refused.</exception>
    public void WriteConfig(int offsetBytes, ReadOnlySpan<byte> source, ConfigFlags flags = ConfigFlags.Guest)
    {
        Require(ProtocolFeatures.Config, FrontendRequest.SetConfig);
        byte[] payload = new byte[ConfigHeader.SizeInBytes + source.Length];
        MemoryMarshal.Write(payload, new ConfigHeader((uint)offsetBytes, (uint)source.Length, flags));
        source.CopyTo(payload.AsSpan(ConfigHeader.SizeInBytes));
        Command(FrontendRequest.SetConfig, payload);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _socket.Dispose();
        _backend?.Dispose();
    }

    private void Negotiate()
    {
        OfferedFeatures = Ask(FrontendRequest.GetFeatures, _options.StartTimeout ?? _options.ReplyTimeout);
        if ((OfferedFeatures & VirtioFeatures.ProtocolFeatures) != 0)
        {
            OfferedProtocolFeatures = (ProtocolFeatures)Ask(FrontendRequest.GetProtocolFeatures);
            ProtocolFeatures accepted = OfferedProtocolFeatures & _options.ProtocolFeatures & FrontendOptions.Supported;
            Command(FrontendRequest.SetProtocolFeatures, (ulong)accepted);
            ProtocolFeatures = accepted;
        }

        Command(FrontendRequest.SetOwner, ReadOnlySpan<byte>.Empty);
        if (Has(ProtocolFeatures.Mq))
        {
            QueueCount = Ask(FrontendRequest.GetQueueNum);
        }

        if (Has(ProtocolFeatures.ConfigureMemSlots))
        {
            MemorySlots = Ask(FrontendRequest.GetMaxMemSlots);
        }

        if (Has(ProtocolFeatures.BackendReq))
        {
            OpenBackendChannel();
        }
    }

    private void Require(ProtocolFeatures feature, FrontendRequest request)
    {
        if (!Has(feature))
        {
            throw new FrontendException($"{RequestName.Of(request)}: the back-end does not offer the protocol feature {feature}");
        }
    }
}
