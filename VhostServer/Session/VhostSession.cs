using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;
using Paravane.VhostServer.Workers;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.VhostServer.Session;

/// <summary>One connection from its first message to its end: what was negotiated, the memory table, the state of each vring.</summary>
/// <remarks>Session thread only. Messages are served strictly one after the other; an answer is sent when its effect is complete.</remarks>
internal sealed partial class VhostSession : IDisposable
{
    private static readonly TimeSpan s_recheckInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_troubleInterval = TimeSpan.FromSeconds(1);

    private readonly IVirtioDevice _device;
    private readonly VirtioDeviceTraits _traits;
    private readonly QueueWorker[] _workers;
    private readonly DeviceHealth _health;
    private readonly SessionWaiter _waiter;
    private readonly ControlSocket _socket;
    private readonly ILogger _log;
    private readonly Message _message = new();
    private readonly Vring[] _vrings;
    private readonly byte[] _reply = new byte[MessageHeader.MaxPayloadBytes];
    private int _replyBytes; // −1: only an acknowledgement, where one is wanted
    private FileDescriptor? _replyDescriptor; // goes along with the reply, and is closed then
    private readonly RegionLedger _ledger = new();
    private GuestMemory _memory = GuestMemory.Empty();
    private ulong _features;
    private bool _hasFeatures;
    private ProtocolFeatures _protocolFeatures;
    private VirtioStatus _status;
    private BackendChannel? _channel;
    private volatile bool _isConfigChanged; // the front-end has not heard of it; set by any thread
    private long _configToldAt;
    private bool _isBrokenKnown; // the error eventfds were signalled
    private long _troublesToldAt;

    /// <summary>Begins a session on a fresh connection.</summary>
    public VhostSession(
        IVirtioDevice device, QueueWorker[] workers, DeviceHealth health, SessionWaiter waiter, UnixSocket connection, TimeSpan deadline, ILogger log)
    {
        _device = device;
        _traits = device.Traits;
        _workers = workers;
        _health = health;
        _waiter = waiter;
        _socket = new ControlSocket(connection, waiter, deadline);
        _log = log;
        _vrings = [.. Enumerable.Range(0, _traits.QueueCount).Select(index => new Vring(index))];
        _waiter.Noticed = TakeNotices;
        _device.ConfigChanged += OnConfigChanged;
        foreach (DeviceTroubles troubles in _device.Troubles)
        {
            troubles.Raised += _waiter.Notify;
        }
    }

    private bool IsAnyRunning => Array.Exists(_vrings, vring => vring.IsRunning);

    /// <summary>Serves messages until the connection or the server ends. Whatever the peer does ends at most this session.</summary>
    public void Run()
    {
        try
        {
            while (true)
            {
                SendConfigChange();
                WaitResult result = _waiter.Wait(_socket.Number, writable: false, NextDeadline(), endOnNotice: true);
                if (result == WaitResult.Elapsed)
                {
                    SignalLogModified();
                }
                else if (result == WaitResult.Stopped || (result == WaitResult.Ready && !ServeOne()))
                {
                    return;
                }
            }
        }
        catch (VhostFramingException failure)
        {
            VhostServerLog.ConnectionDropped(_log, failure.Message);
        }
        catch (SessionEndedException)
        {
            // Hung up or stopped in the middle of a request: there is nobody left to answer.
        }
        catch (Exception failure)
        {
            VhostServerLog.SessionFailed(_log, _message.Request, failure);
        }
    }

    /// <summary>Ends the session: all rings stopped, I/O settled, memory unmapped, descriptors closed.</summary>
    public void Dispose()
    {
        _message.Descriptors.CloseRest();
        _device.ConfigChanged -= OnConfigChanged;
        StopWhateverRuns();
        TellTroubles();
        foreach (DeviceTroubles troubles in _device.Troubles)
        {
            troubles.Raised -= _waiter.Notify;
        }

        _device.ForgetFrontend();
        _waiter.Noticed = null;
        foreach (Vring vring in _vrings)
        {
            vring.Dispose();
        }

        CloseLogs();
        _inflight?.Dispose();
        _memory.Release();
        _channel?.Dispose();
        _socket.Dispose();
    }

    private bool ServeOne()
    {
        try
        {
            if (_socket.Receive(_message) != WaitResult.Ready)
            {
                return false;
            }

            _waiter.AnsweredAt = SessionWaiter.Never;
            return Serve();
        }
        finally
        {
            _waiter.AnsweredAt = Stopwatch.GetTimestamp();
            _message.Descriptors.CloseRest();
            _replyDescriptor?.Dispose();
            _replyDescriptor = null;
        }
    }

    /// <summary>Policy first, then the handler, then the answer.</summary>
    /// <returns>False when the peer has gone.</returns>
    private bool Serve()
    {
        MessageRow? row = MessageTable.Find(_message.Request);
        VhostServerLog.Request(_log, row?.Name ?? "?", _message.Header.PayloadBytes, _message.Descriptors.Count);
        _replyBytes = -1;
        try
        {
            if (row is null)
            {
                throw new VhostProtocolException(_message.Request, "there is no such request");
            }

            CheckShape(row);
            if ((row.Needs & ~_protocolFeatures) != 0)
            {
                throw new VhostProtocolException(_message.Request, $"needs protocol feature {row.Needs}, which was not negotiated");
            }

            if (row.Handler is null)
            {
                throw new VhostProtocolException(_message.Request, "is not served");
            }

            row.Handler(this, _message);
        }
        catch (Exception refusal) when (refusal is VhostProtocolException or GuestMemoryException or LinuxException)
        {
            VhostServerLog.RequestRefused(_log, refusal is VhostProtocolException ? refusal.Message : $"{row?.Name}: {refusal.Message}");
            bool isUnknown = row is null || (row.Needs & ~_protocolFeatures) != 0; // an answer of its own form is expected by nobody then
            Refuse(isUnknown && row?.Refusal is null or RefusalForm.Close ? RefusalForm.Acknowledgement : row!.Refusal);
        }

        if (_replyBytes < 0 && IsAcknowledgementWanted)
        {
            Reply(0UL);
        }

        var header = new MessageHeader(_message.Header.Request, MessageFlags.ReplyOfVersion1, (uint)_replyBytes);
        return _replyBytes < 0 || _socket.Send(header, _reply.AsSpan(0, _replyBytes), _replyDescriptor) == WaitResult.Ready;
    }

    private bool IsAcknowledgementWanted => _message.WantsReply && (_protocolFeatures & ProtocolFeatures.ReplyAck) != 0;

    private void CheckShape(MessageRow row)
    {
        int bytes = (int)_message.Header.PayloadBytes, descriptors = _message.Descriptors.Count;
        if (bytes < row.MinBytes || bytes > row.MaxBytes)
        {
            throw new VhostFramingException($"{row.Name}: a payload of {bytes} bytes is not within {row.MinBytes}…{row.MaxBytes}");
        }

        if (descriptors < row.MinDescriptors || descriptors > row.MaxDescriptors)
        {
            throw new VhostFramingException($"{row.Name}: {descriptors} descriptors are not within {row.MinDescriptors}…{row.MaxDescriptors}");
        }
    }

    private void Refuse(RefusalForm form)
    {
        switch (form)
        {
            case RefusalForm.Number:
                Reply(ulong.MaxValue);
                break;
            case RefusalForm.Empty:
                _replyBytes = 0;
                break;
            case RefusalForm.InflightArea:
                Reply(default(InflightArea));
                break;
            case RefusalForm.Acknowledgement when IsAcknowledgementWanted:
                Reply(1UL);
                break;
            case RefusalForm.ImpossibleNumber when IsAcknowledgementWanted:
                Reply(ulong.MaxValue);
                break;
            default:
                throw new VhostFramingException(
                    $"{MessageTable.NameOf(_message.Request)} was refused, and {(form == RefusalForm.Close ? "no answer can say so" : "the peer did not ask for an answer")}");
        }
    }

    private void Reply<T>(T value)
        where T : unmanaged
    {
        MemoryMarshal.Write(_reply, in value);
        _replyBytes = Unsafe.SizeOf<T>();
    }

    [System.Diagnostics.CodeAnalysis.DoesNotReturn]
    private void Refused(string detail) => throw new VhostProtocolException(_message.Request, detail);

    private QueueWorker WorkerOf(Vring vring) => _workers[_device.WorkerOf(vring.Index)];

    /// <summary>Has an order carried out, and meanwhile notices when the peer goes away.</summary>
    private void Execute(QueueWorker worker, Func<QueueWorker, bool> step)
    {
        var order = new WorkerOrder(step);
        worker.Post(order);
        WaitFor([order], _socket.Number);
    }

    /// <summary>Has an order carried out by all workers at once.</summary>
    private void ExecuteAll(Func<QueueWorker, bool> step) => WaitFor(PostAll(step), _socket.Number);

    private WorkerOrder[] PostAll(Func<QueueWorker, bool> step)
    {
        WorkerOrder[] orders = Array.ConvertAll(_workers, _ => new WorkerOrder(step));
        for (int i = 0; i < orders.Length; i++)
        {
            _workers[i].Post(orders[i]);
        }

        return orders;
    }

    /// <summary>Stops the rings that run and those that an abandoned request is still starting. Nothing ends this wait but the end of their I/O.</summary>
    private void StopWhateverRuns()
    {
        WorkerOrder[] orders;
        var states = new QueueState[_vrings.Length]; // nobody will ask for them
        do
        {
            orders = PostAll(worker => worker.TryStopAll(states));
            _waiter.WaitUntil(() => Array.TrueForAll(orders, order => order.IsDone), connection: -1);
        }
        while (Array.Exists(orders, order => order.Failure is not null)); // a loop that fails to close is gone from its worker all the same
    }

    private void WaitFor(WorkerOrder[] orders, int connection)
    {
        WaitResult result = _waiter.WaitUntil(() => Array.TrueForAll(orders, order => order.IsDone), connection);
        if (result != WaitResult.Ready)
        {
            throw new SessionEndedException(result);
        }

        if (Array.Find(orders, order => order.Failure is not null) is { Failure: { } failure })
        {
            Refused(failure.Message);
        }
    }

    /// <summary>Inside any wait: error eventfds at once, nothing on a socket.</summary>
    private void TakeNotices()
    {
        // A guest makes mistakes as fast as it likes: at once, then the sum when a second is over and something else happens, and at the latest when a ring stops.
        if (Stopwatch.GetElapsedTime(_troublesToldAt) >= s_troubleInterval)
        {
            TellTroubles();
        }

        if (!_health.IsBroken || _isBrokenKnown)
        {
            return;
        }

        _isBrokenKnown = true;
        _isConfigChanged = true;
        foreach (Vring vring in _vrings)
        {
            if (vring.Error is { } error)
            {
                EventFd.Signal(error.Number);
            }

            if (_health[vring.Index] is var fault and not ChainFault.None)
            {
                VhostServerLog.RingBroken(_log, vring.Index, fault);
            }
        }
    }

    // A suspended device stays silent: the front-end hears of a change when a ring runs.
    private bool IsConfigChangeDue => _isConfigChanged && _channel is not null && (_protocolFeatures & ProtocolFeatures.Config) != 0 && IsAnyRunning;

    private void SendConfigChange()
    {
        // Drivers change a network device's address as fast as they like: only so often is the front-end told, which would take more for an attack.
        if (IsConfigChangeDue && Stopwatch.GetElapsedTime(_configToldAt) >= s_recheckInterval)
        {
            _configToldAt = Stopwatch.GetTimestamp();
            _isConfigChanged = false; // before sending: a change from now on deserves another message
            _isConfigChanged |= !_channel!.TrySendConfigChange();
        }
    }

    /// <summary>What went wrong on the data path since the last time.</summary>
    private void TellTroubles()
    {
        foreach (DeviceTroubles troubles in _device.Troubles)
        {
            if (troubles.Take() is { } what)
            {
                _troublesToldAt = Stopwatch.GetTimestamp();
                VhostServerLog.Trouble(_log, what);
            }
        }
    }

    private void OnConfigChanged()
    {
        _isConfigChanged = true;
        _waiter.Notify();
    }

    /// <summary>While something has to be done without being asked: try again soon.</summary>
    private long NextDeadline() => IsLogSignalDue || IsConfigChangeDue ? SessionWaiter.DeadlineIn(s_recheckInterval) : SessionWaiter.Never;
}
