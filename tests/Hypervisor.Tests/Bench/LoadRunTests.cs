using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Tests.Frontend;

namespace Paravane.Hypervisor.Tests.Bench;

public sealed class LoadRunTests
{
    [Fact]
    public void A_queue_that_never_gets_ready_ends_the_run_also_while_others_move()
    {
        using var backEnd = new ScriptedBackEnd();
        using VhostUserFrontend frontend = backEnd.Connect();
        var run = new LoadRun([frontend], [new Load(isReady: true), new Load(isReady: false)], spinMicroseconds: 1_000_000, cpus: [])
        {
            Runtime = TimeSpan.FromMilliseconds(1),
            PreparePatience = TimeSpan.FromMilliseconds(300),
        };
        FrontendException failure = Assert.Throws<FrontendException>(run.Execute);
        Assert.EndsWith("nothing comes", failure.Message, StringComparison.Ordinal);
    }

    /// <summary>One that is ready completes something in each turn, another nothing ever.</summary>
    private sealed class Load(bool isReady) : ILoad
    {
        private bool _isDraining;

        public LoadCounters Counters { get; } = new();

        public bool IsReady => isReady;

        public string NotReady => "nothing comes";

        public bool IsDone => _isDraining;

        public IReadOnlyList<int> CallDescriptors => [];

        public bool RunTurn()
        {
            Counters.Done += isReady ? 1 : 0;
            return isReady;
        }

        public bool TryArm() => true;

        public void Disarm()
        {
        }

        public void BeginDrain() => _isDraining = true;

        public void Abandon() => _isDraining = true;
    }
}
