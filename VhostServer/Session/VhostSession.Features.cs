using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Session;

/// <content>Feature words, status, resets.</content>
internal sealed partial class VhostSession
{
    private const ulong OwnFeatures = VirtioFeatures.ProtocolFeatures | VirtioFeatures.LogAll;

    private ulong OfferedFeatures => _traits.Features | OwnFeatures;

    private ProtocolFeatures OfferedProtocolFeatures
    {
        get
        {
            ProtocolFeatures offered = ProtocolFeatures.Mq | ProtocolFeatures.LogShmFd | ProtocolFeatures.ReplyAck | ProtocolFeatures.BackendReq
                | ProtocolFeatures.Config | ProtocolFeatures.BackendSendFd | ProtocolFeatures.ResetDevice | ProtocolFeatures.ConfigureMemSlots
                | ProtocolFeatures.Status | ProtocolFeatures.InflightShmFd;
            return _device is INetworkPort ? offered | ProtocolFeatures.Mtu | ProtocolFeatures.Rarp : offered;
        }
    }

    /// <summary>GET_FEATURES.</summary>
    public void GetFeatures() => Reply(OfferedFeatures);

    /// <summary>SET_FEATURES. Comes again and again, also with rings running; only LOG_ALL may change then.</summary>
    public void SetFeatures(Message message)
    {
        ulong features = message.Read<ulong>();
        if ((features & ~OfferedFeatures) is var unknown and not 0)
        {
            Refused($"bits 0x{unknown:x} were not offered");
        }

        if (_device.FindFeatureError(features & ~OwnFeatures) is { } error)
        {
            Refused(error);
        }

        ulong changed = features ^ _features;
        if ((changed & ~VirtioFeatures.LogAll) != 0 && IsAnyRunning)
        {
            Refused($"bits 0x{changed & ~VirtioFeatures.LogAll:x} change while a ring runs");
        }

        if ((changed & VirtioFeatures.RingPacked) != 0)
        {
            foreach (Vring vring in _vrings)
            {
                vring.Base = null; // a base of the other format means nothing
            }
        }

        if ((features & changed & VirtioFeatures.LogAll) != 0)
        {
            EnsureLog(); // the last thing that may be refused
        }

        _features = features;
        _hasFeatures = true;
        if ((changed & ~VirtioFeatures.LogAll) != 0)
        {
            _device.AcceptFeatures(features & ~OwnFeatures);
        }

        if ((features & VirtioFeatures.ProtocolFeatures) == 0)
        {
            EnableAll(true); // such a front-end knows no SET_VRING_ENABLE
        }

        if ((changed & VirtioFeatures.LogAll) != 0)
        {
            ApplyLog();
        }

        if ((changed & ~features & VirtioFeatures.LogAll) != 0)
        {
            ForgetFrontendLog();
        }
    }

    /// <summary>GET_PROTOCOL_FEATURES.</summary>
    public void GetProtocolFeatures() => Reply((ulong)OfferedProtocolFeatures);

    /// <summary>SET_PROTOCOL_FEATURES.</summary>
    public void SetProtocolFeatures(Message message)
    {
        var features = (ProtocolFeatures)message.Read<ulong>();
        if ((features & ~OfferedProtocolFeatures) is var unknown and not 0)
        {
            Refused($"bits 0x{(ulong)unknown:x} were not offered");
        }

        if ((features & ProtocolFeatures.BackendSendFd) != 0 && (features & ProtocolFeatures.BackendReq) == 0)
        {
            Refused("BACKEND_SEND_FD needs BACKEND_REQ");
        }

        if (features != _protocolFeatures && IsAnyRunning)
        {
            Refused("protocol features change while a ring runs");
        }

        _protocolFeatures = features;
    }

    /// <summary>GET_QUEUE_NUM: rings, not pairs. Whoever counts pairs may ask for too much and is refused ring by ring.</summary>
    public void GetQueueNum() => Reply((ulong)_traits.QueueCount);

    /// <summary>SET_STATUS. Zero stops the rings; they and the device keep their state, since QEMU also sends zero when it only pauses the guest.</summary>
    public void SetStatus(Message message)
    {
        ulong value = message.Read<ulong>();
        if (value > byte.MaxValue)
        {
            Refused($"0x{value:x} is not a status byte");
        }

        if (value == 0)
        {
            StopAllRings();
        }

        _status = (VirtioStatus)value & ~VirtioStatus.NeedsReset;
        if (_status.HasFlag(VirtioStatus.DriverOk))
        {
            Array.ForEach(_vrings, TellIfMemoryIsMissing);
        }
    }

    /// <summary>GET_STATUS.</summary>
    public void GetStatus() => Reply((ulong)(_health.IsBroken ? _status | VirtioStatus.NeedsReset : _status));

    /// <summary>RESET_OWNER, obsolete: disables all rings and forgets nothing.</summary>
    public void ResetOwner()
    {
        if ((_features & VirtioFeatures.ProtocolFeatures) != 0)
        {
            EnableAll(false); // without bit 30 nothing could enable them again
        }
    }

    /// <summary>
    /// RESET_DEVICE: rings stopped and disabled, device initial, requests in flight forgotten. Protocol features, memory, error eventfds and the back-end
    /// channel stay.
    /// </summary>
    public void ResetDevice()
    {
        StopAllRings();
        foreach (Vring vring in _vrings)
        {
            vring.IsEnabled = false;
            vring.Base = null;
            vring.Size = 0;
            vring.Address = null;
        }

        _features = 0;
        _hasFeatures = false;
        _status = VirtioStatus.None;
        ApplyLog();
        ForgetFrontendLog();
        _inflight?.Forget();
        _device.Reset();
    }

    private void EnableAll(bool enabled)
    {
        foreach (Vring vring in _vrings)
        {
            SetEnabled(vring, enabled);
        }
    }

    private void SetEnabled(Vring vring, bool enabled)
    {
        if (vring.IsEnabled == enabled)
        {
            return;
        }

        vring.IsEnabled = enabled;
        if (vring.IsRunning)
        {
            Execute(WorkerOf(vring), worker => worker.TrySetEnabled(vring.Index, enabled));
        }
    }

    private static bool Do(Action action)
    {
        action();
        return true;
    }
}
