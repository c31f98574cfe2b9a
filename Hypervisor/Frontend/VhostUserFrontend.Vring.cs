using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Frontend;

/// <content>One ring: size, base, addresses, eventfds, enabling, stopping.</content>
public sealed partial class VhostUserFrontend
{
    /// <summary>Whoever stops a ring may wait for all its I/O under way, however slow the disk: this many times the ordinary limit.</summary>
    internal const int StopPatience = 10;

    /// <summary>SET_VRING_NUM.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetVringNum(int index, int size) => Command(FrontendRequest.SetVringNum, new VringState((uint)index, (uint)size));

    /// <summary>SET_VRING_BASE.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetVringBase(int index, QueueState state) => Command(FrontendRequest.SetVringBase, new VringState((uint)index, state.Raw));

    /// <summary>SET_VRING_ADDR, in addresses of the front-end.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetVringAddress(VringAddress address) => Command(FrontendRequest.SetVringAddr, address);

    /// <summary>SET_VRING_KICK: starts the ring. Null: the back-end must poll.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetVringKick(int index, EventFd? kick) => SetDescriptor(FrontendRequest.SetVringKick, index, kick);

    /// <summary>SET_VRING_CALL. Null: nobody wants to hear of used buffers.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetVringCall(int index, EventFd? call) => SetDescriptor(FrontendRequest.SetVringCall, index, call);

    /// <summary>SET_VRING_ERR.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetVringErr(int index, EventFd? error) => SetDescriptor(FrontendRequest.SetVringErr, index, error);

    /// <summary>SET_VRING_ENABLE, which only exists once PROTOCOL_FEATURES is negotiated: without it rings are born enabled, and nothing is sent.</summary>
    /// <exception cref="FrontendException">The back-end refused.</exception>
    public void SetVringEnable(int index, bool enabled)
    {
        if ((Features & VirtioFeatures.ProtocolFeatures) != 0)
        {
            var state = new VringState((uint)index, enabled ? 1u : 0u);
            Command(
                FrontendRequest.SetVringEnable,
                MemoryMarshal.AsBytes(new ReadOnlySpan<VringState>(in state)),
                [],
                enabled ? _options.ReplyTimeout : _options.ReplyTimeout * StopPatience);
        }
    }

    /// <summary>GET_VRING_BASE: stops the ring after all its I/O, and tells where it stopped.</summary>
    /// <exception cref="FrontendException">The reply is wrong or does not come.</exception>
    public QueueState GetVringBase(int index)
    {
        var state = new VringState((uint)index, 0);
        Send(FrontendRequest.GetVringBase, MemoryMarshal.AsBytes(new ReadOnlySpan<VringState>(in state)), [], needReply: false);
        byte[] reply = ReceiveReply(FrontendRequest.GetVringBase, Unsafe.SizeOf<VringState>(), orEmpty: false, _options.ReplyTimeout * StopPatience);
        VringState stopped = MemoryMarshal.Read<VringState>(reply);
        return stopped.Index == index
            ? new QueueState(stopped.Num)
            : throw GiveUp($"GET_VRING_BASE: asked for vring {index}, the reply is about vring {stopped.Index}");
    }

    private void SetDescriptor(FrontendRequest request, int index, EventFd? descriptor)
    {
        ulong payload = new VringDescriptor((byte)index, descriptor is not null).Raw;
        if (descriptor is null)
        {
            Command(request, payload);
        }
        else
        {
            Command(request, payload, descriptor);
        }
    }
}
